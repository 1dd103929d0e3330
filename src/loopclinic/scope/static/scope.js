// The live scope: draws what the probe's watchdog thread reports, ten times a second, also while
// the event loop is stuck. One Track per widget model keeps the last minute; each view draws it.
// The browser keeps its own clock, so that silence is shown too.

const WINDOW = 60; // seconds on the strip
const FLOOR = 0.001, CEILING = 10; // seconds, the strip's log scale
const KEPT_TICKS = 900, KEPT_STALLS = 50;
const SILENCE = 1; // seconds without a word from the kernel before the scope says so
const STARVED = 0.25; // seconds: a shorter silence may be the machine's doing
const WITNESSED = 0.5; // seconds for which a word from the process beside the kernel holds
const ALIVE_EVERY = 20; // seconds between two signs of life to the kernel
const SVG = "http://www.w3.org/2000/svg";

// ---------------------------------------------------------------- words

/** Split seconds into a figure of three digits and its unit. */
export function duration(seconds) {
  if (seconds === null || seconds === undefined) return ["–", ""];
  if (seconds >= 3600) return [(seconds / 3600).toFixed(1), "h"];
  if (seconds >= 120) return [(seconds / 60).toFixed(1), "min"];
  if (seconds >= 0.9995) return [seconds.toFixed(seconds < 99.95 ? 2 : 1), "s"];
  const ms = seconds * 1000;
  if (ms < 0.005) return ["0", "ms"];
  return [ms >= 99.95 ? ms.toFixed(0) : ms >= 9.995 ? ms.toFixed(1) : ms.toFixed(2), "ms"];
}

const spoken = (seconds) => duration(seconds).join("\u00a0");

function ago(seconds) {
  if (seconds < 1.5) return "just now";
  if (seconds < 99.5) return `${Math.round(seconds)}\u00a0s ago`;
  if (seconds < 5400) return `${Math.round(seconds / 60)}\u00a0min ago`;
  return `${(seconds / 3600).toFixed(1)}\u00a0h ago`;
}

// ---------------------------------------------------------------- what is known, once per model

class Track {
  constructor() {
    this.ticks = []; // {at, lag}: lag is null while a stall is drawn in its place
    this.stalls = []; // finished ones, newest last
    this.now = null; // the latest tick
    this.heard = -Infinity; // when it came, on the browser's clock
    this.lead = null; // browser clock minus kernel clock
    this.stopped = false;
    this.witness = null; // hears from the process beside the kernel while a call keeps the GIL
    this.held = null; // what it said last, and when
    this.views = new Set();
    this.settings = { threshold: 0.05, lessons: {}, notebooks: null };
  }

  clock() {
    return performance.now() / 1000;
  }

  /** Now, in the kernel's seconds, by the browser's clock: it goes on when the kernel does not. */
  kernelNow() {
    if (this.now === null) return 0;
    return this.stopped ? this.now.at : Math.max(this.now.at, this.clock() - this.lead);
  }

  silence() {
    return this.now === null || this.stopped ? 0 : this.clock() - this.heard;
  }

  /** The stall that only the process beside the kernel can see, or null. */
  witnessed() {
    const { held } = this;
    if (held === null || this.clock() - held.heard > WITNESSED || this.heard > held.heard) return null;
    const seconds = held.silent + this.clock() - held.heard;
    return { id: -1, started: this.kernelNow() - seconds, seconds, where: held.where, code: held.code, cell: false };
  }

  stuck() {
    return this.witnessed() ?? this.now?.stall ?? null;
  }

  listen(url) {
    if (!url || this.url === url) return;
    this.url = url;
    this.deafen();
    this.witness = new EventSource(url);
    this.witness.onmessage = ({ data }) => {
      const { silent, file, line, code } = JSON.parse(data);
      const where = file.includes("ipykernel_") ? `line ${line} of the running cell` : `${file.split(/[\\/]/).at(-1)}:${line}`;
      this.held = { silent, where, code, heard: this.clock() };
      for (const view of this.views) view.draw();
    };
    // Out of reach (a remote server): the browser's own clock has to do.
    this.witness.onerror = () => this.deafen();
  }

  deafen() {
    this.witness?.close();
    this.witness = null;
  }

  restore(history) {
    if (!history) return;
    this.settings = { ...this.settings, ...history.settings };
    if (!history.now) return;
    this.ticks = history.ticks.map(([at, lag]) => ({ at, lag }));
    this.stalls = history.stalls;
    this.stopped = history.stopped;
    this.receive(history.now);
  }

  receive(tick) {
    this.heard = this.clock();
    const lead = this.heard - tick.at;
    // The quickest message tells the offset best; creep back, since the two clocks drift apart.
    this.lead = this.lead === null ? lead : Math.min(lead, this.lead + 0.002);
    this.now = tick;
    this.listen(tick.witness);
    const last = this.ticks.at(-1);
    if (!last || tick.at > last.at) this.ticks.push({ at: tick.at, lag: tick.strip });
    for (const stall of tick.ended) {
      if (!this.stalls.some((known) => known.id === stall.id)) this.stalls.push(stall);
    }
    if (this.ticks.length > KEPT_TICKS) this.ticks.splice(0, this.ticks.length - KEPT_TICKS);
    if (this.stalls.length > KEPT_STALLS) this.stalls.splice(0, this.stalls.length - KEPT_STALLS);
  }

  handle(message) {
    if (message.kind === "tick") this.receive(message);
    else if (message.kind === "stopped") this.stopped = true;
    else return;
    for (const view of this.views) view.draw();
  }

  /** The one state of the loop: its name, a sentence, and the detail under it. */
  state() {
    const { now } = this;
    if (now === null) return { name: "waiting", word: "Waiting", rest: " for the first figures from the kernel", detail: "They arrive as soon as the kernel answers." };
    // A short plain cell is worth a line in the list, not the headline.
    const last = this.stalls.findLast((stall) => !stall.cell || stall.seconds >= 1);
    if (this.stopped) return { name: "stopped", word: "Stopped", rest: ": this scope no longer measures", detail: "Run the cell again to measure on." };
    const silence = this.silence();
    const held = this.witnessed();
    if (held) return { name: "stalled", word: "Stalled", rest: ` now for ${spoken(held.seconds)} at ${held.where}${held.seconds > STARVED ? ", which keeps the GIL" : ""}`, code: held.code, detail: held.code ? "" : "Seen by the process beside the kernel: nothing in the kernel can run." };
    if (silence > SILENCE) {
      return { name: "silent", word: "No heartbeat", rest: ` for ${spoken(silence)}: something holds the GIL, or the kernel is gone`, detail: now.stall?.code ? `Last seen at ${now.stall.where}` : "Counted by this browser’s own clock.", code: now.stall?.code };
    }
    const stuck = now.stall;
    if (stuck) {
      return stuck.cell
        ? { name: "cell", word: "Cell at work", rest: ` for ${spoken(stuck.seconds)}: plain synchronous code, so the loop waits for it`, detail: stuck.where, code: stuck.code }
        : { name: "stalled", word: "Stalled", rest: ` now for ${spoken(stuck.seconds)} at ${stuck.where}`, code: stuck.code, detail: stuck.code ? "" : "The line is not known yet." };
    }
    if (now.crowded) return { name: "busy", word: "Busy", rest: ": too much work, no single line", detail: `The loop had callbacks to run for ${Math.round(now.crowded * 100)}\u00a0% of the last second.` };
    if (last) {
      return { name: "calm", word: "Calm", rest: ` again; the last ${last.cell ? "cell held the loop for" : "stall took"} ${spoken(last.seconds)}, ${ago(this.kernelNow() - last.started - last.seconds)}`, detail: last.where, code: last.code };
    }
    return { name: "calm", word: "Calm", rest: ": the loop is free to answer", detail: `No event of the last minute waited longer than ${spoken(now.worst)}.` };
  }
}

// ---------------------------------------------------------------- building blocks of the page

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

function draw(tag, attributes = {}, text) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text !== undefined) element.textContent = text;
  return element;
}

/** Touch the page only where something changed: selections and screen readers stay undisturbed. */
function write(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

const diamond = (x, y, r) => `M${x} ${y - r}L${x + r} ${y}L${x} ${y + r}L${x - r} ${y}Z`;

// One shape for each state, so that color is never the only difference.
const SHAPES = {
  calm: "M8 3a5 5 0 1 0 .01 0Z",
  waiting: "M8 3a5 5 0 1 0 .01 0Z",
  busy: "M3 11h2.4v2.5H3ZM6.8 7h2.4v6.500H6.8ZM10.600 2.500H13v11h-2.400Z",
  stalled: diamond(8, 8, 7),
  cell: "M3 3H13V13H3Z",
  silent: "M2 8h3l1.500 -4l3 8l1.500 -4h3",
  stopped: "M4 4H12V12H4Z",
};

function glyph(name) {
  const icon = draw("svg", { class: "lc-glyph", "data-shape": name, viewBox: "0 0 16 16", "aria-hidden": "true" });
  icon.append(draw("path", { d: SHAPES[name] }));
  return icon;
}

const FIGURES = [
  // key, name, what it means
  ["lag", "lag now", "wait for the loop"],
  ["p99", "p99", "last 60 s"],
  ["worst", "worst", "last 60 s"],
  ["utilization", "utilization", "busy, last 5 s"],
  ["tasks", "tasks", "on this loop"],
  ["threads", "threads", "busy in executor"],
];

function figure(key, now) {
  if (now === null) return ["–", ""];
  if (key === "utilization") return now.utilization === null ? ["–", ""] : [(now.utilization * 100).toFixed(now.utilization < 0.0995 ? 1 : 0), "%"];
  if (key === "tasks") return [now.tasks === null ? "–" : String(now.tasks), ""];
  if (key === "threads") return [String(now.threads), `of ${now.workers}`];
  return duration(now[key]);
}

// ---------------------------------------------------------------- the strip

class Strip {
  constructor() {
    this.id = `lc-${Math.random().toString(36).slice(2)}`;
    this.svg = draw("svg", { class: "lc-strip", role: "img", "aria-label": "Lag over the last 60 seconds" });
    this.size(640);
  }

  size(width) {
    if (Math.abs(width - (this.width ?? 0)) < 1) return;
    this.width = width;
    this.height = width < 480 ? 138 : 158;
    this.plot = { left: 58, right: width - 13, top: 18, bottom: this.height - 22 };
    const { left, right, top, bottom } = this.plot;
    this.svg.setAttribute("viewBox", `0 0 ${width} ${this.height}`);
    this.svg.setAttribute("height", this.height);
    const clip = draw("clipPath", { id: `${this.id}-clip` });
    clip.append(draw("rect", { x: left, y: 0, width: Math.max(0, right - left), height: bottom + 0.5 }));
    const hatch = draw("pattern", { id: `${this.id}-hatch`, width: 6, height: 6, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" });
    hatch.append(draw("path", { class: "lc-hatch", d: "M0 0V6" }));
    const defs = draw("defs");
    defs.append(clip, hatch);
    const frame = draw("g", { class: "lc-frame", "aria-hidden": "true" });
    for (const [value, label] of [[10, "10 s"], [1, "1 s"], [0.1, "100 ms"], [0.01, "10 ms"], [0.001, "1 ms"]]) {
      const y = Math.round(this.y(value)) + 0.5;
      frame.append(draw("path", { class: value === FLOOR ? "lc-base" : "lc-grid", d: `M${left} ${y}H${right}` }));
      frame.append(draw("text", { x: left - 7, y: y + 3.5, "text-anchor": "end" }, label));
    }
    for (const back of width < 480 ? [60, 30, 0] : [60, 45, 30, 15, 0]) {
      const x = this.x(-back, 0);
      const anchor = back === 0 ? "end" : back === 60 ? "start" : "middle";
      frame.append(draw("path", { class: "lc-base", d: `M${Math.round(x) + 0.5} ${bottom}v4` }));
      frame.append(draw("text", { x, y: bottom + 16, "text-anchor": anchor }, back === 0 ? "now" : back === 60 ? "60 s ago" : `${back} s`));
    }
    this.area = draw("path", { class: "lc-area" });
    this.line = draw("path", { class: "lc-lag" });
    this.marks = draw("g");
    this.known = new Map(); // what `marks` holds, by what it shows
    this.quiet = draw("rect", { class: "lc-silence", y: top, height: bottom - top, fill: `url(#${this.id}-hatch)` });
    const data = draw("g", { "clip-path": `url(#${this.id}-clip)` });
    data.append(this.quiet, this.area, this.line, this.marks);
    this.svg.replaceChildren(defs, frame, data);
  }

  x(at, now) {
    const { left, right } = this.plot;
    return right - ((now - at) / WINDOW) * (right - left);
  }

  y(seconds) {
    const { top, bottom } = this.plot;
    const share = Math.log(Math.max(FLOOR, Math.min(CEILING, seconds)) / FLOOR) / Math.log(CEILING / FLOOR);
    return bottom - share * (bottom - top);
  }

  draw(track) {
    const now = track.kernelNow();
    const { bottom } = this.plot;
    let line = "", area = "", from = null, previous = null;
    const close = (x) => { if (from !== null) area += `V${bottom}H${from.toFixed(1)}Z`; from = null; };
    for (const { at, lag } of track.ticks) {
      const x = this.x(at, now);
      const start = previous === null || x - previous > this.x(1, 0) - this.x(0, 0) ? x - 1 : previous;
      previous = x;
      if (at < now - WINDOW - 1) continue;
      if (lag === null || (from !== null && start === x - 1)) close();
      if (lag === null) continue;
      const y = Math.min(this.y(lag), bottom - 1).toFixed(1);
      if (from === null) {
        from = start;
        line += `M${start.toFixed(1)} ${y}`;
        area += `M${start.toFixed(1)} ${bottom}V${y}`;
      } else {
        line += `V${y}`;
        area += `V${y}`;
      }
      line += `H${x.toFixed(1)}`;
      area += `H${x.toFixed(1)}`;
    }
    close();
    this.line.setAttribute("d", line);
    this.area.setAttribute("d", area);
    const silent = track.silence() > SILENCE && !track.witnessed();
    const edge = this.x(track.now?.at ?? 0, now);
    this.quiet.setAttribute("x", edge);
    this.quiet.setAttribute("width", silent ? Math.max(0, this.plot.right - edge) : 0);
    const shown = track.stalls.filter((stall) => stall.started + stall.seconds > now - WINDOW - 1);
    const stuck = track.stuck();
    if (stuck) shown.push({ ...stuck, until: silent || track.stopped ? undefined : now });
    this.place(shown, now);
  }

  /** Draw each stall once and from then on only move it: many of them must not slow the page. */
  place(shown, now) {
    const { left, right } = this.plot;
    const marks = new Map();
    for (const stall of shown) {
      const start = this.x(stall.started, now);
      const width = Math.max(1.5, this.x(stall.until ?? stall.started + stall.seconds, now) - start);
      const middle = start + width / 2;
      const label = stall.seconds < 0.5 || middle < left + 20 ? null : middle > right - 26 ? "end" : "middle";
      const key = [stall.id, stall.seconds, label, stall.until && Math.round(width)].join();
      const mark = this.known.get(key) ?? this.mark(stall, width, label);
      mark.setAttribute("transform", `translate(${start.toFixed(1)} 0)`);
      marks.set(key, mark);
    }
    const same = marks.size === this.known.size && [...marks.keys()].every((key) => this.known.has(key));
    if (!same) this.marks.replaceChildren(...marks.values());
    this.known = marks;
  }

  /** A stall is a block as wide as it lasted, under a diamond; a plain cell is a gray block without. */
  mark(stall, width, label) {
    const { bottom } = this.plot;
    const top = this.y(stall.seconds);
    const kind = stall.cell ? "lc-cell" : "lc-stall";
    const mark = draw("g");
    const block = draw("rect", { class: `${kind}-block`, x: 0, y: top, width, height: bottom - top });
    block.append(draw("title", {}, `${spoken(stall.seconds)} at ${stall.where}`));
    mark.append(block, draw("path", { class: `${kind}-edge`, d: `M0 ${top}H${width}` }));
    if (!stall.cell) mark.append(draw("path", { class: "lc-stall-mark", d: diamond(width / 2, top, 4.5) }));
    if (label) mark.append(draw("text", { class: `${kind}-label`, x: label === "end" ? width : width / 2, y: top - 8, "text-anchor": label }, spoken(stall.seconds)));
    return mark;
  }
}

// ---------------------------------------------------------------- one view

/** Return the lesson's path as JupyterLab's server knows it, or null outside of JupyterLab. */
function notebookPath(folder, name) {
  const config = document.getElementById("jupyter-config-data")?.textContent;
  if (!config || !folder) return null;
  const root = JSON.parse(config).serverRoot?.replace(/\/+$/, "");
  if (root === undefined) return null;
  for (const candidate of [folder.absolute, folder.fromHome]) {
    if (candidate?.startsWith(`${root}/`)) return `${candidate.slice(root.length + 1)}/${name}.ipynb`;
  }
  return null;
}

/** Says a stall in the notebook's corner while the scope itself is scrolled out of sight. */
class Chip {
  constructor(scope) {
    this.scope = scope;
    this.seen = true;
    this.icon = make("span");
    this.word = make("strong");
    this.rest = make("span");
    this.code = make("code");
    // A shortcut for the eye; whoever reads by keyboard or ear has the scope's own live region.
    this.root = make("div", { class: "lc-chip", "aria-hidden": "true" }, this.icon, make("p", {}, this.word, this.rest, this.code));
    this.root.addEventListener("click", () => scope.scrollIntoView({ block: "nearest" }));
    this.observer = new IntersectionObserver(([entry]) => { this.seen = entry.isIntersecting; });
    this.observer.observe(scope.querySelector(".lc-status"));
  }

  close() {
    this.observer.disconnect();
    this.root.remove();
  }

  draw({ name, word, rest, code }) {
    this.panel = this.scope.closest(".jp-WindowedPanel-outer, .jp-NotebookPanel") ?? this.panel;
    const wanted = (name === "stalled" || name === "silent") && !this.seen;
    const place = wanted ? this.panel?.getBoundingClientRect() : undefined; // asked for only then: it costs a layout
    if (!(place?.width > 0)) return this.root.remove();
    if (!this.root.isConnected) document.body.append(this.root);
    if (this.root.dataset.state !== name) this.icon.replaceChildren(glyph(name));
    this.root.dataset.state = name;
    this.root.style.right = `${window.innerWidth - place.right + 24}px`;
    this.root.style.top = `${place.top + 12}px`;
    this.root.style.maxWidth = `${place.width - 48}px`;
    write(this.word, word);
    write(this.rest, rest);
    write(this.code, code ?? "");
  }
}

class View {
  constructor(track, root) {
    this.track = track;
    this.strip = new Strip();
    this.figures = Object.fromEntries(FIGURES.map(([key]) => [key, [make("b"), make("i")]]));
    this.note = {};
    this.icon = make("span", { class: "lc-icon" });
    this.word = make("strong");
    this.rest = make("span");
    this.detail = make("span");
    this.code = make("code");
    this.list = make("ol", { class: "lc-list" });
    this.empty = make("p", { class: "lc-empty" });
    this.live = make("p", { class: "lc-spoken", role: "status", "aria-live": "polite" });
    this.legend = make("span");
    this.count = make("span", { class: "lc-count" });
    const numbers = FIGURES.map(([key, name, meaning]) => {
      this.note[key] = make("small", {}, meaning);
      return make("div", { "data-figure": key }, make("span", { class: "lc-name" }, name), make("div", { class: "lc-value" }, ...this.figures[key], this.note[key]));
    });
    this.root = make(
      "section",
      { class: "lc-scope", "aria-label": "Scope: lag of the event loop" },
      make("div", { class: "lc-status" }, this.icon, make("div", {}, make("p", { class: "lc-sentence" }, this.word, this.rest), make("p", { class: "lc-detail" }, this.detail, this.code))),
      make("div", { class: "lc-numbers", role: "group", "aria-label": "Figures" }, ...numbers),
      make("div", { class: "lc-heading" }, make("h4", {}, "Lag, last 60 s"), make("p", { class: "lc-legend", "aria-hidden": "true" }, make("span", { class: "lc-key-lag" }), "lag", glyph("stalled"), this.legend, glyph("cell"), "synchronous cell")),
      this.strip.svg,
      make("div", { class: "lc-heading" }, make("h4", {}, "Stalls"), this.count),
      make("div", { class: "lc-scroll", tabindex: "0", role: "region", "aria-label": "Stalls, newest first" }, this.empty, this.list),
      this.live,
    );
    root.append(this.root);
    this.chip = new Chip(this.root);
    this.resized = new ResizeObserver(() => { this.resize(); this.draw(); });
    this.resized.observe(this.root);
    this.timer = setInterval(() => this.draw(), 250);
    this.still = matchMedia("(prefers-reduced-motion: reduce)");
    this.resize();
    this.draw();
  }

  close() {
    clearInterval(this.timer);
    this.resized.disconnect();
    this.chip.close();
    this.track.views.delete(this);
    this.root.remove();
  }

  resize() {
    const width = this.root.clientWidth;
    if (width > 0) this.strip.size(width - 2);
  }

  draw() {
    if (document.hidden) return;
    const { track } = this;
    const state = track.state();
    this.status(state);
    this.chip.draw(state);
    const silent = state.name === "silent";
    const held = track.witnessed();
    for (const [key] of FIGURES) {
      const [number, unit] = held && key === "lag" ? duration(held.seconds) : silent && key === "lag" ? duration(track.silence()) : figure(key, track.now);
      write(this.figures[key][0], number);
      write(this.figures[key][1], unit);
    }
    const waiting = track.now?.waiting ?? 0;
    write(this.note.threads, waiting ? `busy, ${waiting} calls queue` : FIGURES[5][2]);
    write(this.note.lag, silent ? "by this browser’s clock" : FIGURES[0][2]);
    write(this.legend, `stall, over ${duration(track.settings.threshold)[0].replace(/\.?0+$/, "")}\u00a0${duration(track.settings.threshold)[1]}`);
    const second = Math.floor(track.clock());
    if (!this.still.matches || second !== this.drawn || state.name !== this.shown) this.strip.draw(track);
    this.shown = state.name;
    this.stalls();
    if (second !== this.drawn) this.ages();
    this.drawn = second;
  }

  status(state) {
    if (this.root.dataset.state !== state.name) {
      const before = this.root.dataset.state;
      this.root.dataset.state = state.name;
      this.icon.replaceChildren(glyph(state.name));
      this.announce(state, before);
    }
    write(this.word, state.word);
    write(this.rest, state.rest);
    write(this.detail, state.detail);
    write(this.code, state.code ?? "");
  }

  /** Say a change of state once; figures that run on are left to the eye. */
  announce(state, before) {
    const { stalls } = this.track;
    if (state.name === "stalled") write(this.live, `The loop stalls at ${this.track.stuck().where}: ${this.track.stuck().code ?? ""}`);
    else if (state.name === "silent") write(this.live, "No heartbeat: something holds the GIL, or the kernel is gone.");
    else if (before === "stalled" || before === "silent") {
      const last = stalls.at(-1);
      write(this.live, last ? `The loop is free again after ${spoken(last.seconds)}, at ${last.where}.` : "The heartbeat is back.");
    }
  }

  stalls() {
    const { stalls } = this.track;
    const newest = stalls.at(-1)?.id ?? null;
    if (newest === this.listed) return;
    const known = new Map([...this.list.children].map((row) => [row.dataset.id, row]));
    this.list.replaceChildren(...[...stalls].reverse().map((stall) => known.get(String(stall.id)) ?? this.row(stall)));
    this.listed = newest;
    this.ages();
  }

  ages() {
    const now = this.track.kernelNow();
    const { stalls } = this.track;
    for (const row of this.list.children) write(row.querySelector("time"), ago(now - Number(row.dataset.end)));
    const cells = stalls.filter((stall) => stall.cell).length;
    write(this.count, stalls.length ? [stalls.length - cells && `${stalls.length - cells} on the loop`, cells && `${cells} by plain cells`].filter(Boolean).join(", ") : "");
    write(this.empty, stalls.length ? "" : this.track.stuck() ? "This one is listed here when it ends." : "Nothing has stalled yet. Run the next cell.");
  }

  row(stall) {
    const row = make("li", { "data-id": stall.id, "data-end": stall.started + stall.seconds, class: stall.cell ? "lc-row lc-row-cell" : "lc-row" });
    const [number, unit] = duration(stall.seconds);
    const treatment = make("span", { class: "lc-treatment" }, ...this.treatment(stall));
    const where = make("span", { class: "lc-where" }, stall.where);
    const line = make("code", {}, stall.code || "");
    const middle = make("div", { class: "lc-place" }, where, line);
    if (stall.stack.length > 1) {
      const frames = stall.stack.map((frame) => make("li", {}, make("span", {}, `${frame.where} in ${frame.function}`), make("code", {}, frame.code)));
      middle.replaceChildren(make("details", {}, make("summary", { title: "Show the calls that led there" }, make("span", { class: "lc-line" }, where, line)), make("ol", { class: "lc-stack" }, ...frames)));
    }
    row.append(make("span", { class: "lc-length" }, glyph(stall.cell ? "cell" : "stalled"), make("b", {}, number), make("i", {}, unit)), middle, treatment, make("time"));
    return row;
  }

  treatment(stall) {
    if (stall.cell) return ["synchronous cell"];
    if (!stall.conflict) return [stall.gil ? "the GIL was held" : ""];
    const treated = this.track.settings.lessons[stall.conflict];
    if (!treated) return [stall.conflict];
    const [name, title] = treated;
    const path = notebookPath(this.track.settings.notebooks, name);
    const label = `lesson ${name.split("_")[0]}: ${title}`;
    if (path === null) return [stall.conflict, make("span", { class: "lc-lesson" }, label)];
    // JupyterLab's own command opens the notebook in a tab beside this one.
    const link = make("a", { class: "lc-lesson", href: "#", "data-commandlinker-command": "docmanager:open", "data-commandlinker-args": JSON.stringify({ path }) }, label);
    return [stall.conflict, link];
  }
}

// ---------------------------------------------------------------- what anywidget calls

export default () => {
  const track = new Track();
  return {
    initialize({ model }) {
      const handle = (message) => track.handle(message);
      track.restore(model.get("history"));
      model.on("msg:custom", handle);
      return () => {
        model.off("msg:custom", handle);
        track.deafen();
      };
    },
    render({ model, el }) {
      const view = new View(track, el);
      track.views.add(view);
      const alive = () => model.send({ kind: "alive" });
      alive();
      const timer = setInterval(alive, ALIVE_EVERY * 1000);
      return () => {
        clearInterval(timer);
        view.close();
      };
    },
  };
};
