// Keeps the marked parts of a page fresh, sends forms that are marked so without leaving it, and copies what a button asks for.
// All else works without it.
"use strict";
(() => {
  const sign = document.getElementById("liveness");
  const parts = [...document.querySelectorAll("[data-live]")];
  const AGAIN_MS = 30000;
  const HELD_MS = 200;

  const say = (state, words) => {
    if (!sign) return;
    sign.hidden = false;
    sign.dataset.state = state;
    sign.textContent = words;
  };

  // A field being filled in, or a button between being pressed and being let go: drawn anew it would be lost.
  const isHeld = (part) => part.querySelector(":active, input:focus, select:focus, textarea:focus") !== null;

  const SCROLLED = ".scroll, .board";
  const FOCUSED = "a[href], button, summary, [tabindex], [id]";

  // What a thing is called, by which it is found again in the next picture.
  const name = (one) => one.id || one.getAttribute("href") || one.getAttribute("aria-label") || `${one.tagName} ${one.textContent}`;

  // What the reader is in the middle of stays: what has the focus, what was opened, how far something was scrolled.
  const show = (part, html) => {
    const active = part.contains(document.activeElement) ? document.activeElement : null;
    const open = [...part.querySelectorAll("details[id][open]")].map((one) => one.id);
    const scrolled = [...part.querySelectorAll(SCROLLED)].map((one) => [one.scrollLeft, one.scrollTop]);
    const focused = active && name(active);
    part.innerHTML = html;
    for (const id of open) {
      const one = document.getElementById(id);
      if (one) one.open = true;
    }
    part.querySelectorAll(SCROLLED).forEach((one, i) => {
      if (scrolled[i]) [one.scrollLeft, one.scrollTop] = scrolled[i];
    });
    if (focused) {
      const same = [...part.querySelectorAll(FOCUSED)].find((one) => name(one) === focused);
      if (same) same.focus({ preventScroll: true });
    }
  };

  const follow = (part) => {
    let source = null;
    let newest = null;
    let timer = 0;
    const draw = () => {
      if (isHeld(part)) {
        setTimeout(draw, HELD_MS);
        return;
      }
      show(part, JSON.parse(newest));
      newest = null;
    };
    const open = () => {
      clearTimeout(timer);
      source = new EventSource(part.dataset.live);
      source.addEventListener("open", () => say("live", "live"));
      source.addEventListener("part", (event) => {
        // Only the newest of what came between two pictures is drawn.
        if (newest === null) {
          requestAnimationFrame(draw);
        }
        newest = event.data;
      });
      source.addEventListener("error", () => {
        say("lost", "not live");
        // The browser tries again by itself, but not where it was refused.
        if (source.readyState === EventSource.CLOSED) timer = setTimeout(open, AGAIN_MS);
      });
    };
    const close = () => {
      clearTimeout(timer);
      if (source) source.close();
    };
    // A page that nobody looks at holds no connection.
    document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
    addEventListener("pagehide", close);
    addEventListener("pageshow", (event) => event.persisted && !document.hidden && open());
    if (!document.hidden) open();
  };

  parts.forEach(follow);

  // A form marked so leaves the page where it is, as long as its parts are fresh; where that fails it is sent as forms are.
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (!form.matches("[data-quiet]") || !sign || sign.dataset.state !== "live") return;
    event.preventDefault();
    const body = new URLSearchParams(new FormData(form));
    fetch(form.action, { method: "post", body, redirect: "manual" }).then(
      (answer) => answer.type === "opaqueredirect" || form.submit(),
      () => form.submit(),
    );
  });

  // A button that copies is shown only where a page may do so: over https, or on the machine itself.
  for (const button of document.querySelectorAll("[data-copy]")) {
    if (!navigator.clipboard) break;
    button.hidden = false;
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
        button.textContent = "Copied";
      } catch {
        button.textContent = "Not allowed";
      }
    });
  }
})();
