"""What scripts/fuzz-api tells Schemathesis beside the document: how a body of lines is written."""

import json

import schemathesis


@schemathesis.serializer("application/x-ndjson")
def one_line(_context, value):
    return (json.dumps(value) + "\n").encode()
