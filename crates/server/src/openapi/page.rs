//! The document as a page: HTML and CSS, light or dark as its reader's machine is. It is read from the document alone.

use std::fmt::Write as _;

use serde_json::{Map, Value};

const STYLE: &str = "\
:root{color-scheme:light dark;--text:#1b1f24;--quiet:#57606a;--line:#d0d7de;--back:#fff;--panel:#f6f8fa;--link:#0550ae;\
--get:#0550ae;--post:#116329;--put:#7d4e00;--patch:#7d4e00;--delete:#a40e26}\
@media(prefers-color-scheme:dark){:root{--text:#e6edf3;--quiet:#9198a1;--line:#3d444d;--back:#0d1117;--panel:#151b23;\
--link:#79c0ff;--get:#79c0ff;--post:#7ee787;--put:#f2cc60;--patch:#f2cc60;--delete:#ff9b93}}\
*{box-sizing:border-box}body{margin:0;background:var(--back);color:var(--text);font:16px/1.5 system-ui,sans-serif}\
a{color:var(--link);text-decoration:none}a:hover{text-decoration:underline}\
a:focus-visible{outline:2px solid var(--link);outline-offset:2px}.skip{position:absolute;left:-100vw}\
.skip:focus{left:1rem;top:1rem;padding:.5rem;background:var(--back)}\
code{font:.875em ui-monospace,monospace;overflow-wrap:anywhere}\
.all{display:grid;grid-template-columns:17rem minmax(0,1fr);max-width:80rem;margin:auto}\
nav{position:sticky;top:0;height:100vh;overflow:auto;padding:1.5rem 1rem;border-right:1px solid var(--line);font-size:.875rem}\
nav h2{font-size:.875rem;margin:1.25rem 0 .25rem}nav ul{list-style:none;margin:0;padding:0}nav li{padding:.125rem 0}\
main{padding:1.5rem 2rem;min-width:0}h1{margin-top:0}h2{margin-top:3rem}h3{margin:0;font-size:1rem}h4{margin:1.25rem 0 .25rem}\
section.call{border:1px solid var(--line);border-radius:.5rem;margin:1.25rem 0;padding:1rem}\
section.call>h3{background:var(--panel);margin:-1rem -1rem 1rem;padding:.75rem 1rem;border-radius:.5rem .5rem 0 0;\
border-bottom:1px solid var(--line)}\
.method{display:inline-block;min-width:4rem;font:700 .8125rem ui-monospace,monospace}\
.get{color:var(--get)}.post{color:var(--post)}.put{color:var(--put)}.patch{color:var(--patch)}.delete{color:var(--delete)}\
.quiet{color:var(--quiet)}table{border-collapse:collapse;width:100%;font-size:.9375rem}\
th,td{text-align:left;vertical-align:top;padding:.375rem .75rem .375rem 0;border-top:1px solid var(--line)}\
tr:first-child>td{border-top:0}td:first-child{white-space:nowrap;width:1%}\
@media(max-width:50rem){.all{display:block}nav{position:static;height:auto;max-height:14rem;\
border:0;border-bottom:1px solid var(--line)}nav>div{columns:9rem}nav li a{overflow-wrap:anywhere}\
main{padding:1rem}td:first-child{white-space:normal}}";

/// The page.
pub fn page(document: &Value) -> String {
    let mut page = Page { document, out: String::with_capacity(256 << 10) };
    page.whole();
    page.out
}

struct Page<'d> {
    document: &'d Value,
    out: String,
}

/// A call and where it is.
struct Entry<'d> {
    method: &'d str,
    path: &'d str,
    call: &'d Value,
}

fn fields(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

fn items(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Text as HTML.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c => out.push(c),
        }
    }
    out
}

/// The Markdown that descriptions use: code in backticks.
fn prose(text: &str) -> String {
    let parts = text.split('`').enumerate();
    parts
        .map(|(i, part)| match i % 2 {
            0 => escaped(part),
            _ => format!("<code>{}</code>", escaped(part)),
        })
        .collect()
}

impl<'d> Page<'d> {
    fn put(&mut self, html: impl AsRef<str>) {
        self.out.push_str(html.as_ref());
    }

    fn paragraphs(&mut self, described: &str) {
        for paragraph in described.split("\n\n").filter(|paragraph| !paragraph.is_empty()) {
            let _ = write!(self.out, "<p>{}</p>", prose(paragraph));
        }
    }

    fn whole(&mut self) {
        let info = &self.document["info"];
        let title = escaped(text(&info["title"]));
        let _ = write!(
            self.out,
            "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
             content=\"width=device-width,initial-scale=1\"><title>{title}: reference</title><style>{STYLE}</style></head>\
             <body><a class=\"skip\" href=\"#calls\">To the calls</a><div class=\"all\">"
        );
        let groups = self.groups();
        self.navigation(&groups);
        let _ = write!(
            self.out,
            "<main id=\"calls\"><h1>{title}</h1><p class=\"quiet\">Version {}. The same as a document for programs: \
             <a href=\"openapi.json\">openapi.json</a>.</p>",
            escaped(text(&info["version"]))
        );
        self.paragraphs(text(&info["description"]));
        for (group, entries) in &groups {
            let name = escaped(text(&group["name"]));
            let _ = write!(self.out, "<h2>{name}</h2>");
            self.paragraphs(text(&group["description"]));
            for entry in entries {
                self.call(entry);
            }
        }
        self.put("<h2>Schemas</h2>");
        for (name, schema) in fields(&self.document["components"]["schemas"]) {
            let name = escaped(name);
            let _ = write!(self.out, "<section class=\"call\" id=\"schema-{name}\"><h3>{name}</h3>");
            self.paragraphs(text(&schema["description"]));
            self.schema(schema);
            self.put("</section>");
        }
        self.put("</main></div></body></html>\n");
    }

    /// The calls and webhooks under each heading.
    fn groups(&self) -> Vec<(&'d Value, Vec<Entry<'d>>)> {
        let mut all: Vec<Entry<'d>> = Vec::new();
        for of in ["paths", "webhooks"] {
            for (path, calls) in fields(&self.document[of]) {
                all.extend(fields(calls).map(|(method, call)| Entry { method, path, call }));
            }
        }
        let mut groups: Vec<_> =
            items(&self.document["tags"]).iter().map(|group| (group, Vec::new())).collect();
        for entry in all {
            let group = groups.iter_mut().find(|(group, _)| group["name"] == entry.call["tags"][0]);
            if let Some((_, entries)) = group {
                entries.push(entry);
            }
        }
        groups
    }

    fn navigation(&mut self, groups: &[(&'d Value, Vec<Entry<'d>>)]) {
        self.put("<nav><div>");
        for (group, entries) in groups {
            let _ = write!(self.out, "<h2>{}</h2><ul>", escaped(text(&group["name"])));
            for entry in entries {
                let name = escaped(text(&entry.call["operationId"]));
                let _ = write!(self.out, "<li><a href=\"#{name}\">{name}</a></li>");
            }
            self.put("</ul>");
        }
        self.put("<h2>Schemas</h2><ul>");
        for (name, _) in fields(&self.document["components"]["schemas"]) {
            let name = escaped(name);
            let _ = write!(self.out, "<li><a href=\"#schema-{name}\">{name}</a></li>");
        }
        self.put("</ul></div></nav>");
    }

    fn call(&mut self, entry: &Entry<'d>) {
        let Entry { method, path, call } = entry;
        let _ = write!(
            self.out,
            "<section class=\"call\" id=\"{}\"><h3><span class=\"method {method}\">{}</span><code>{}</code></h3><p>{}</p>",
            escaped(text(&call["operationId"])),
            method.to_uppercase(),
            escaped(path),
            prose(text(&call["summary"]))
        );
        self.paragraphs(text(&call["description"]));
        self.credential(call);
        if !items(&call["parameters"]).is_empty() {
            self.put("<h4>Parameters</h4><table>");
            for parameter in items(&call["parameters"]) {
                let name = format!(
                    "{}</code> <span class=\"quiet\">{}</span><code>",
                    text(&parameter["name"]),
                    text(&parameter["in"])
                );
                self.row(
                    &name,
                    &parameter["schema"],
                    &parameter["description"],
                    parameter["required"] == true,
                );
            }
            self.put("</table>");
        }
        for (media_type, content) in fields(&call["requestBody"]["content"]) {
            let optional = if call["requestBody"]["required"] == true { "" } else { ", may be left out" };
            let _ = write!(
                self.out,
                "<h4>Body <span class=\"quiet\">{}{optional}</span></h4>",
                escaped(media_type)
            );
            self.schema(&content["schema"]);
        }
        self.put("<h4>Answers</h4><table>");
        for (status, answer) in fields(&call["responses"]) {
            let answer = self.resolved(answer);
            let _ = write!(
                self.out,
                "<tr><td><code>{}</code></td><td>{}",
                escaped(status),
                prose(text(&answer["description"]))
            );
            for (media_type, content) in fields(&answer["content"]) {
                let _ = write!(self.out, " <span class=\"quiet\">{}</span> ", escaped(media_type));
                // The envelope is the same everywhere; what is in it is not.
                let schema = &content["schema"];
                let data = &schema["properties"]["data"];
                let shown = if data.is_null() { schema } else { data };
                let kind = kind(shown);
                self.put(kind);
            }
            // Those that every answer has are described once, at the beginning.
            for (name, header) in fields(&answer["headers"]).filter(|(_, header)| header["$ref"].is_null()) {
                let _ = write!(
                    self.out,
                    "<br><span class=\"quiet\"><code>{}</code>: {}</span>",
                    escaped(name),
                    prose(text(&header["description"]))
                );
            }
            self.put("</td></tr>");
        }
        self.put("</table></section>");
    }

    fn credential(&mut self, call: &Value) {
        let schemes = &self.document["components"]["securitySchemes"];
        for (name, needs) in items(&call["security"]).iter().flat_map(fields) {
            let _ = write!(self.out, "<p class=\"quiet\">{}", prose(text(&schemes[name]["description"])));
            for need in items(needs) {
                let _ = write!(self.out, " <code>{}</code>", escaped(text(need)));
            }
            self.put("</p>");
        }
    }

    /// What a reference points to.
    fn resolved(&self, value: &'d Value) -> &'d Value {
        let pointer = value["$ref"].as_str().and_then(|to| to.strip_prefix('#'));
        pointer.and_then(|pointer| self.document.pointer(pointer)).unwrap_or(value)
    }

    fn schema(&mut self, schema: &'d Value) {
        match schema["properties"].as_object() {
            Some(properties) => self.properties(properties, items(&schema["required"])),
            None => {
                let kind = kind(schema);
                let _ = write!(self.out, "<p>{kind}</p>");
            }
        }
    }

    fn properties(&mut self, properties: &'d Map<String, Value>, required: &[Value]) {
        self.put("<table>");
        for (name, schema) in properties {
            self.row(&escaped(name), schema, &schema["description"], required.iter().any(|r| r == name));
        }
        self.put("</table>");
    }

    fn row(&mut self, name: &str, schema: &'d Value, description: &Value, required: bool) {
        let always = if required { "" } else { " <span class=\"quiet\">optional</span>" };
        let _ = write!(
            self.out,
            "<tr><td><code>{name}</code>{always}</td><td>{} {}",
            kind(schema),
            prose(text(description))
        );
        let inner = if schema["items"].is_null() { schema } else { &schema["items"] };
        if let Some(properties) = inner["properties"].as_object() {
            self.properties(properties, items(&inner["required"]));
        }
        self.put("</td></tr>");
    }
}

/// What kind of value it is, in a few words.
fn kind(schema: &Value) -> String {
    if let Some(name) = schema["$ref"].as_str().and_then(|to| to.rsplit('/').next()) {
        let name = escaped(name);
        return format!("<a href=\"#schema-{name}\">{name}</a>");
    }
    for of in ["anyOf", "oneOf", "allOf"] {
        if !items(&schema[of]).is_empty() {
            let kinds: Vec<String> = items(&schema[of]).iter().map(kind).collect();
            return kinds.join(" or ");
        }
    }
    if let Some(value) = schema.get("const") {
        return format!("<code>{}</code>", escaped(&value.to_string()));
    }
    if !items(&schema["enum"]).is_empty() {
        let words =
            items(&schema["enum"]).iter().map(|word| format!("<code>{}</code>", escaped(&word.to_string())));
        return words.collect::<Vec<_>>().join(" or ");
    }
    let mut words: Vec<&str> = match &schema["type"] {
        Value::String(one) => vec![one],
        several => items(several).iter().map(text).collect(),
    };
    if words.is_empty() {
        words.push("anything");
    }
    let mut said = words.join(" or ");
    if schema["type"] == "array" && !schema["items"].is_null() {
        return format!("<span class=\"quiet\">array of</span> {}", kind(&schema["items"]));
    }
    if let Some(format) = schema["format"].as_str().filter(|format| !format.contains("int")) {
        let _ = write!(said, ", {}", escaped(format));
    }
    for (limit, word) in [("minimum", "from"), ("maximum", "to"), ("minLength", "from"), ("maxLength", "to")]
    {
        if let Some(value) = schema.get(limit) {
            let unit = if limit.ends_with("Length") { " characters" } else { "" };
            let _ = write!(said, ", {word} {value}{unit}");
        }
    }
    format!("<span class=\"quiet\">{said}</span>")
}
