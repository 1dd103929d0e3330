// Cuts the exported notebook into pages that fit, shows them step by step, and lets a second
// window, the speaker's, go along. Cells say by their slide type where a page or a step begins.
"use strict";
addEventListener("load", async () => {
  const HEIGHT = 720 - 40, OUTPUT = 1.4, LEAST = 0.2;
  const [source, stage, steps] = ["source", "stage", "steps"].map((id) => document.getElementById(id));
  const course = source.querySelector("h1")?.firstChild?.textContent ?? document.title;
  const pages = [];
  let page = null, at = 0, step = 0, speaker = null, began = 0;

  function make(kind, parent, text = "") {
    const element = document.createElement("div");
    element.className = kind;
    element.textContent = text;
    parent.append(element);
    return element;
  }

  function open(title, { opening = false } = {}) {
    const frame = make("page" + (opening ? " opening" : ""), stage);
    make("course", frame, opening ? "" : course);
    if (title) shrink(make("title", frame, title));
    page = { frame, title, body: make("body", frame), steps: 0, notes: "", minutes: 0 };
    pages.push(page);
  }

  function shrink(title) {  // one line, whatever its length
    title.style.fontSize = Math.floor(parseFloat(getComputedStyle(title).fontSize)
      * Math.min(1, title.clientWidth / title.scrollWidth)) + "px";
  }

  const overflows = () => page.body.getBoundingClientRect().bottom
    - page.frame.getBoundingClientRect().top > HEIGHT;
  const wide = (piece) => piece.scrollWidth > piece.clientWidth + 1
    || piece.getBoundingClientRect().right > page.frame.getBoundingClientRect().left + 1222;

  function size(piece, zoom) {
    piece.style.zoom = zoom;
    piece.style.setProperty("--zoom", zoom);
  }

  function place(kind, element, { stepped, zoom = 1 }) {
    const piece = make(`piece ${kind}`, page.body);
    piece.append(element);
    size(piece, zoom);
    if (page.body.children.length > 1 && overflows()) {
      open(page.title);
      page.body.append(piece);
    }
    for (let now = zoom; (overflows() || wide(piece)) && now > LEAST;) {
      now *= 0.96;
      size(piece, now);
    }
    if (stepped && page.body.children.length > 1) page.steps += 1;
    piece.dataset.step = page.steps;
  }

  function cell(one, stepped) {
    const words = one.querySelector(":scope.jp-MarkdownCell .jp-RenderedMarkdown");
    if (words) {
      const heading = words.querySelector("h1, h2");
      if (heading) {
        heading.querySelector(".anchor-link")?.remove();
        const title = heading.textContent;
        if (page.fresh) { page.frame.remove(); pages.pop(); }
        heading.remove();
        open(title, { opening: heading.tagName === "H1" });
      }
      if (words.textContent.trim()) place("words", words, { stepped: stepped && !heading });
      return;
    }
    const code = one.querySelector(".highlight");
    if (code) place("code", code, { stepped });
    for (const output of one.querySelectorAll(".jp-OutputArea-child")) {
      if (output.textContent.trim() || output.querySelector("img, svg")) {
        place("output", output, { stepped: true, zoom: OUTPUT });
      }
    }
  }

  function cut() {
    for (const section of source.querySelectorAll("section > section")) {
      open("");
      page.fresh = true;
      for (const one of [...section.querySelectorAll(".jp-Cell, aside.notes")]) {
        if (one.matches("aside .jp-Cell")) continue;
        if (one.matches("aside")) {
          const spoken = one.querySelector(".jp-RenderedMarkdown");
          page.notes += spoken?.innerHTML ?? "";
          page.minutes += Number(/Teaching this: (\d+)/.exec(spoken?.textContent)?.[1] ?? 0);
          continue;
        }
        cell(one, Boolean(one.closest(".fragment")));
        page.fresh = false;
      }
    }
    // What is to be said stands behind the pages it is about.
    for (const [number, one] of pages.entries()) {
      one.frame.id = `page-${number + 1}`;
      if (!one.notes) continue;
      const spoken = make("spoken", stage);
      spoken.innerHTML = one.notes;
      one.frame.after(spoken);
    }
  }

  function show() {
    pages.forEach(({ frame }, number) => frame.classList.toggle("now", number === at));
    for (const piece of pages[at].body.children) {
      piece.classList.toggle("later", Number(piece.dataset.step) > step);
    }
    document.getElementById("where").textContent = `${at + 1} of ${pages.length}`;
    history.replaceState(null, "", `#${at + 1}`);
    tell();
  }

  function go(to, last = false) {
    at = Math.max(0, Math.min(pages.length - 1, to));
    step = last ? pages[at].steps : 0;
    show();
  }

  function on() {
    if (step < pages[at].steps) { step += 1; show(); } else if (at < pages.length - 1) go(at + 1);
  }

  function back() {
    if (step > 0) { step -= 1; show(); } else if (at > 0) go(at - 1, true);
  }

  function key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const does = {
      ArrowRight: on, ArrowDown: on, PageDown: on, " ": on, ArrowLeft: back, ArrowUp: back,
      PageUp: back, Home: () => go(0), End: () => go(pages.length - 1, true), s: speak, S: speak,
      f: () => document.documentElement.requestFullscreen(),
    }[event.key];
    if (!does || (event.key === " " && event.target.matches?.("button"))) return;
    event.preventDefault();
    does();
  }

  function speak() {
    // A blank window is of this page's own origin, so it can be written to, also from a file.
    speaker = window.open("", "speaker", "width=900,height=640");
    if (!speaker) {
      document.getElementById("where").textContent = "Allow pop-ups for the speaker view.";
      return;
    }
    began ||= Date.now();
    speaker.document.title = `Speaker: ${document.title}`;
    speaker.document.body.innerHTML = '<p id="time"></p><h1 id="now"></h1><div id="notes"></div>'
      + '<p id="next"></p>';
    speaker.document.body.style = "font: 22px/1.5 system-ui, sans-serif; margin: 1.5rem 2rem";
    speaker.onkeydown = key;
    tell();
  }

  function tell() {
    if (!speaker || speaker.closed) return;
    const put = (id, text) => { speaker.document.getElementById(id).textContent = text; };
    const planned = (some) => some.reduce((sum, one) => sum + one.minutes, 0);
    const due = pages.findIndex((one, number) => number >= at && one.notes);
    const about = due > at ? `Pages ${at + 1} to ${due + 1}` : `Page ${at + 1}`;
    const since = Math.floor((Date.now() - began) / 60000);
    put("time", `${since} min of ${planned(pages)} planned; ${planned(pages.slice(0, at))} planned `
      + "before this page");
    put("now", `${about}: ${pages[at].title || course}`);
    speaker.document.getElementById("notes").innerHTML = due < 0 ? "" : pages[due].notes;
    const left = pages[at].steps - step;
    put("next", left ? `${left} more on this page`
      : at + 1 < pages.length ? `Next: ${pages[at + 1].title || "more"}` : "The end");
  }

  function fit() {
    const scale = Math.min(innerWidth / 1280, innerHeight / 720);
    stage.style.transform = `translate(${(innerWidth - 1280 * scale) / 2}px,`
      + `${(innerHeight - 720 * scale) / 2}px) scale(${scale})`;
  }

  await Promise.all([...document.images].map((image) => image.decode().catch(() => {})));
  stage.hidden = false;
  cut();
  source.remove();
  steps.hidden = false;
  document.body.classList.toggle("handout", location.search === "?handout");
  addEventListener("keydown", key);
  addEventListener("resize", fit);
  addEventListener("hashchange", () => go(Number(location.hash.slice(1)) - 1 || 0));
  setInterval(tell, 5000);
  for (const [id, does] of [["on", on], ["back", back], ["speak", speak]]) {
    document.getElementById(id).addEventListener("click", does);
  }
  fit();
  go(Number(location.hash.slice(1)) - 1 || 0);
  document.documentElement.dataset.pages = pages.length;
});
