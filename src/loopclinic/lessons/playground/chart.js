// The playground's chart: what callers wait, over the last minute, beside what theory expects.
// words.js and elements.js of the scope stand before this file in the page's module.

const SPAN = 60; // seconds on the chart
const LOW = 0.001, HIGH = 10; // seconds, the log scale
const KEPT = 260;
const LONGEST = 60; // letters of a change; the rest is in its tooltip
const LETTER = 5.6; // pixels
const ALIVE = 15; // seconds between two signs of life to the kernel
// Points come as rows; see Point in recording.py.
const COLUMNS = ["at", "p50", "p99", "answered", "failed", "attempts", "in_flight", "lag", "busy", "expected"];
const LINES = [
  // key, class, words at its end
  ["expected", "lc-theory", "theory"],
  ["p50", "lc-p50", "p50"],
  ["p99", "lc-p99", "p99"],
];

const asPoint = (row) => Object.fromEntries(COLUMNS.map((name, index) => [name, row[index]]));

class Chart {
  constructor(model, root) {
    this.model = model;
    this.points = [];
    this.marks = [];
    this.over = null; // a kept recording: {name, points}
    this.title = make("strong");
    this.says = make("span");
    this.caption = make("p", { class: "lc-caption", role: "status", "aria-live": "polite" }, this.title, this.says);
    this.svg = draw("svg", { class: "lc-chart lc-plot", role: "img" });
    this.key = make("p", { class: "lc-key", "aria-hidden": "true" });
    this.body = make("tbody");
    this.broken = make("ul", { class: "lc-broken" });
    const head = make("tr", {}, ...["", "measured", "by theory", ""].map((name) => make("th", { scope: "col" }, name)));
    const table = make("table", {}, make("thead", {}, head), this.body);
    this.root = make(
      "section",
      { class: "lc lc-panel lc-play", "aria-label": "What callers wait" },
      this.caption,
      make("div", { class: "lc-top" }, make("h4", {}, "What callers wait, last 60 s"), this.key),
      this.svg,
      make("div", { class: "lc-beside" }, table, make("div", {}, make("h4", {}, "Where theory breaks here"), this.broken)),
    );
    root.append(this.root);
    // The dials stand in the same output, as widgets of their own.
    requestAnimationFrame(() => keepsNotebookStill(root.closest(".jp-OutputArea-output") ?? root));
    this.resized = new ResizeObserver(() => this.size());
    this.resized.observe(this.root);
    this.size();
    this.restore(model.get("past"));
  }

  restore(past) {
    if (!past) return;
    this.points = past.points.map(asPoint);
    this.marks = past.marks;
    this.over = past.over;
    this.tell(past.caption);
    this.beside(past.beside);
    this.draw();
  }

  hear(message, buffers) {
    switch (message.kind) {
      case "point": {
        this.points.push(asPoint(message.point));
        if (this.points.length > KEPT) this.points.shift();
        this.draw();
        break;
      }
      case "mark": {
        if (message.same) this.marks.pop();
        this.marks.push({ at: message.at, words: message.words });
        if (this.marks.length > KEPT) this.marks.shift();
        break;
      }
      case "beside": this.beside(message); break;
      case "caption": this.tell(message); break;
      case "over": this.over = message.over; this.draw(); break;
      case "clear": this.points = []; this.marks = []; this.draw(); break;
      case "look": this.caption.scrollIntoView({ block: "start" }); break; // a cell further down plays here
      case "file": hand(message, buffers); break;
    }
  }

  tell(caption) {
    write(this.title, caption?.title ?? "");
    write(this.says, caption?.says ?? "");
    this.root.dataset.state = caption?.state ?? "";
  }

  beside(message) {
    if (!message) return;
    while (this.body.rows.length > message.rows.length) this.body.lastElementChild.remove();
    message.rows.forEach((row, index) => {
      const line = this.body.rows[index] ?? this.body.appendChild(make("tr", {}, make("th", { scope: "row" }), make("td"), make("td"), make("td")));
      row.forEach((words, column) => write(line.cells[column], words));
    });
    const said = message.broken.length ? message.broken : ["Nowhere that we can tell: its assumptions hold well enough."];
    while (this.broken.children.length > said.length) this.broken.lastElementChild.remove();
    said.forEach((words, index) => write(this.broken.children[index] ?? this.broken.appendChild(make("li")), words));
    this.broken.toggleAttribute("data-fine", message.broken.length === 0);
  }

  size() {
    const width = this.root.clientWidth - 2;
    if (width <= 0 || width === this.width) return;
    this.width = width;
    this.height = width < 520 ? 220 : 268;
    this.left = 56;
    this.right = width - 112;
    this.top = 26;
    this.bottom = this.height - 24;
    this.svg.setAttribute("viewBox", `0 0 ${width} ${this.height}`);
    this.svg.setAttribute("height", this.height);
    const frame = draw("g", { "aria-hidden": "true" });
    for (const [value, label] of [[10, "10 s"], [1, "1 s"], [0.1, "100 ms"], [0.01, "10 ms"], [0.001, "1 ms"]]) {
      const y = Math.round(this.y(value)) + 0.5;
      frame.append(draw("path", { class: value === LOW ? "lc-base" : "lc-grid", d: `M${this.left} ${y}H${this.right}` }), draw("text", { x: this.left - 7, y: y + 4, "text-anchor": "end" }, label));
    }
    for (const back of width < 400 ? [60, 0] : width < 560 ? [60, 30, 0] : [60, 45, 30, 15, 0]) {
      frame.append(draw("text", { x: this.right - (back / SPAN) * (this.right - this.left), y: this.bottom + 17, "text-anchor": back === 0 ? "end" : back === 60 ? "start" : "middle" }, back === 0 ? "now" : `${back} s${back === 60 ? " ago" : ""}`));
    }
    this.past = draw("g");
    this.paths = Object.fromEntries(LINES.map(([key, name]) => [key, draw("path", { class: name })]));
    this.failing = draw("path", { class: "lc-failed" });
    this.turns = draw("g");
    this.ends = draw("g");
    this.svg.replaceChildren(frame, this.turns, this.past, this.failing, ...Object.values(this.paths), this.ends);
    this.draw();
  }

  x(at, now) {
    return this.right - ((now - at) / SPAN) * (this.right - this.left);
  }

  y(seconds) {
    const share = Math.log(Math.max(LOW, Math.min(HIGH, seconds)) / LOW) / Math.log(HIGH / LOW);
    return this.bottom - share * (this.bottom - this.top);
  }

  line(points, key, now) {
    let path = "", pen = "M", before = 0;
    for (const point of points) {
      const x = this.x(point.at, now);
      if (x < this.left || point[key] === null) { pen = "M"; continue; }
      if (point.at - before > 2) pen = "M"; // it was stopped meanwhile
      path += `${pen}${x.toFixed(1)} ${this.y(point[key]).toFixed(1)}`;
      pen = "L";
      before = point.at;
    }
    return path;
  }

  draw() {
    if (!this.width || document.hidden) return;
    const now = this.points.at(-1)?.at ?? 0;
    for (const [key] of LINES) this.paths[key].setAttribute("d", this.line(this.points, key, now));
    const failed = this.points.filter((point) => point.failed > 0.5 && this.x(point.at, now) >= this.left);
    this.failing.setAttribute("d", failed.map((point) => `M${this.x(point.at, now).toFixed(1)} ${this.bottom - 1}v-7`).join(""));
    this.changes(now);
    this.overlay();
    this.labels(now);
    write(this.key, this.over ? `faint: ${this.over.name}` : failed.length ? "marks below: requests that failed" : "");
  }

  /** A dashed line wherever a control was turned, with what it was turned to. */
  changes(now) {
    const shown = this.marks.filter((mark) => this.x(mark.at, now) > this.left);
    this.turns.replaceChildren();
    const edge = this.width - 4;
    const rows = [[], []]; // of words, so that they don't meet
    for (const { at, words } of shown) {
      const x = this.x(at, now) + 4;
      const wide = Math.min(words.length, LONGEST) * LETTER;
      const [row, other] = rows.map((one) => one.at(-1)?.end ?? -Infinity);
      const own = rows[x >= row || row <= other ? 0 : 1];
      if (own.length) own.at(-1).end = Math.min(own.at(-1).end, x - LETTER);
      // At the right edge words begin left of their line, as far as those before leave room.
      const start = Math.max(Math.min(x, edge - wide), own.at(-1)?.end ?? this.left);
      own.push({ x: start, words, end: Math.min(start + wide, edge) });
      this.turns.append(draw("path", { class: "lc-turn", d: `M${(x - 4).toFixed(1)} ${this.top - 4}V${this.bottom}` }));
    }
    rows.forEach((row, index) => {
      for (const { x, words, end } of row) {
        const letters = Math.floor((end - x) / LETTER);
        if (letters < 3) continue;
        const text = draw("text", { class: "lc-turned", x: x.toFixed(1), y: this.top - 14 + index * 12 }, words.length > letters ? `${words.slice(0, letters - 1)}…` : words);
        text.append(draw("title", {}, words));
        this.turns.append(text);
      }
    });
  }

  overlay() {
    this.past.replaceChildren();
    if (!this.over) return;
    const points = this.over.points.map(asPoint);
    const end = points.at(-1)?.at ?? 0;
    for (const key of ["p50", "p99"]) this.past.append(draw("path", { class: `lc-over lc-${key}`, d: this.line(points, key, end) }));
  }

  /** Name each line at its end, no two names on one another. */
  labels(now) {
    const last = this.points.at(-1);
    this.ends.replaceChildren();
    if (!last) return;
    const ends = LINES.filter(([key]) => last[key] !== null).map(([key, name, words]) => ({ name, words: `${words} ${spoken(last[key])}`, y: this.y(last[key]) + 4 }));
    if (last.expected === null) ends.push({ name: "lc-theory", words: "theory: grows", y: this.top + 4 });
    ends.sort((one, other) => one.y - other.y);
    for (let i = 1; i < ends.length; i += 1) ends[i].y = Math.max(ends[i].y, ends[i - 1].y + 14);
    const over = Math.max(0, (ends.at(-1)?.y ?? 0) - this.bottom - 4);
    for (const { name, words, y } of ends) this.ends.append(draw("text", { class: `lc-end ${name}`, x: this.right + 7, y: y - over }, words));
    this.svg.setAttribute("aria-label", `What callers wait: ${ends.map((end) => end.words).join(", ")}`);
  }

  close() {
    this.resized.disconnect();
    this.root.remove();
  }
}

function hand({ name, type }, buffers) {
  const blob = new Blob([buffers[0]], { type });
  const link = make("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

export default {
  render({ model, el }) {
    const chart = new Chart(model, el);
    const hear = (message, buffers) => chart.hear(message, buffers);
    const alive = () => model.send({ kind: "alive" });
    model.on("msg:custom", hear);
    alive();
    const timer = setInterval(alive, ALIVE * 1000);
    const leave = () => model.send({ kind: "left" });
    window.addEventListener("pagehide", leave);
    return () => {
      clearInterval(timer);
      window.removeEventListener("pagehide", leave);
      model.off("msg:custom", hear);
      chart.close();
    };
  },
};
