// The strip: lag over the last minute, and the stalls on it.

const ROOM = 50; // pixels that a written length needs

class Strip {
  constructor() {
    this.id = `lc-${Math.random().toString(36).slice(2)}`;
    this.svg = draw("svg", { class: "lc-chart lc-strip", role: "img", tabindex: "0", "aria-label": "Lag over the last seconds" });
    this.seconds = WINDOW;
    this.size(640);
    this.pointed = null; // seconds back from now that the pointer or the keys are at
    this.svg.addEventListener("pointermove", (event) => this.point(event.offsetX));
    this.svg.addEventListener("pointerleave", () => this.point(null));
    this.svg.addEventListener("blur", () => this.point(null));
    this.svg.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: 1, ArrowRight: -1 }[event.key];
      if (!step) return;
      event.preventDefault();
      this.pointed = Math.max(0, Math.min(this.seconds, (this.pointed ?? (step > 0 ? -1 : 1)) + step));
      this.read();
    });
  }

  point(x) {
    const { left, right } = this.plot;
    this.pointed = x === null || x < left || x > right ? null : ((right - x) / (right - left)) * this.seconds;
    this.read();
  }

  /** Say what stood where the pointer is: a stall, or the lag. */
  read() {
    const track = this.track;
    this.value.replaceChildren();
    if (this.pointed === null || !track) return;
    const now = track.kernelNow();
    const at = now - this.pointed;
    const stall = [...track.stalls].reverse().find((one) => at >= one.started - 0.3 && at <= one.started + one.seconds + 0.3) ?? (track.stuck()?.started <= at ? track.stuck() : undefined);
    const tick = track.ticks.find((one) => one.at >= at);
    const words = stall ? `${spoken(stall.seconds)} at ${stall.where}` : tick?.lag == null ? "no figure" : `lag ${spoken(tick.lag)}`;
    const x = this.x(at, now), { left, right, top, bottom } = this.plot;
    const anchor = x > (left + right) / 2 ? "end" : "start";
    this.value.append(
      draw("path", { class: "lc-pointer", d: `M${x.toFixed(1)} ${top}V${bottom}` }),
      draw("text", { class: "lc-strong lc-value-there", x: x + (anchor === "end" ? -6 : 6), y: top + 4, "text-anchor": anchor }, `${words}, ${this.pointed < 1 ? "now" : `${Math.round(this.pointed)} s ago`}`),
    );
    this.svg.setAttribute("aria-label", `Lag over the last ${this.seconds} seconds. ${words}, ${Math.round(this.pointed)} seconds ago`);
  }

  size(width, span = this.seconds) {
    if (Math.abs(width - (this.width ?? 0)) < 1 && span === this.seconds) return;
    this.width = width;
    this.seconds = span;
    this.svg.setAttribute("aria-label", `Lag over the last ${span} seconds`);
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
    for (const share of width < 480 ? [1, 0.5, 0] : [1, 0.75, 0.5, 0.25, 0]) {
      const back = share * span;
      const x = this.x(-back, 0);
      const anchor = back === 0 ? "end" : back === span ? "start" : "middle";
      frame.append(draw("path", { class: "lc-base", d: `M${Math.round(x) + 0.5} ${bottom}v4` }));
      frame.append(draw("text", { x, y: bottom + 16, "text-anchor": anchor }, back === 0 ? "now" : `${back} s${back === span ? " ago" : ""}`));
    }
    this.area = draw("path", { class: "lc-area" });
    this.line = draw("path", { class: "lc-lag" });
    this.marks = draw("g");
    this.known = new Map(); // what `marks` holds, by what it shows
    this.quiet = draw("rect", { class: "lc-silence", y: top, height: bottom - top, fill: `url(#${this.id}-hatch)` });
    const data = draw("g", { "clip-path": `url(#${this.id}-clip)` });
    data.append(this.quiet, this.area, this.line, this.marks);
    this.value = draw("g", { "aria-hidden": "true" });
    this.svg.replaceChildren(defs, frame, data, this.value);
  }

  x(at, now) {
    const { left, right } = this.plot;
    return right - ((now - at) / this.seconds) * (right - left);
  }

  y(seconds) {
    const { top, bottom } = this.plot;
    const share = Math.log(Math.max(FLOOR, Math.min(CEILING, seconds)) / FLOOR) / Math.log(CEILING / FLOOR);
    return bottom - share * (bottom - top);
  }

  draw(track) {
    this.track = track;
    const now = track.kernelNow();
    this.size(this.width, track.span());
    const { bottom } = this.plot;
    let line = "", area = "", from = null, previous = null;
    const close = (x) => { if (from !== null) area += `V${bottom}H${from.toFixed(1)}Z`; from = null; };
    for (const { at, lag } of track.ticks) {
      const x = this.x(at, now);
      const start = previous === null || x - previous > this.x(1, 0) - this.x(0, 0) ? x - 1 : previous;
      previous = x;
      if (at < now - this.seconds - 1) continue;
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
    const shown = track.stalls.filter((stall) => stall.started + stall.seconds > now - this.seconds - 1);
    const stuck = track.stuck();
    if (stuck) shown.push({ ...stuck, until: silent || track.stopped ? undefined : now });
    this.place(shown, now);
    if (this.pointed !== null) this.read();
  }

  /** Draw each stall once and from then on only move it: many of them must not slow the page. */
  place(shown, now) {
    const labels = this.labels(shown, now);
    const marks = new Map();
    for (const stall of shown) {
      const [start, width] = this.span(stall, now);
      const label = labels.get(stall) ?? null;
      const key = [stall.id, stall.seconds, label, stall.until && Math.round(width)].join();
      const mark = this.known.get(key) ?? this.mark(stall, width, label);
      mark.setAttribute("transform", `translate(${start.toFixed(1)} 0)`);
      marks.set(key, mark);
    }
    const same = marks.size === this.known.size && [...marks.keys()].every((key) => this.known.has(key));
    if (!same) this.marks.replaceChildren(...marks.values());
    this.known = marks;
  }

  span(stall, now) {
    const start = this.x(stall.started, now);
    return [start, Math.max(1.5, this.x(stall.until ?? stall.started + stall.seconds, now) - start)];
  }

  /** Whose length is written, and how the text is anchored: the longest first, while there is room. */
  labels(shown, now) {
    const { left, right } = this.plot;
    const labels = new Map(), taken = [];
    for (const stall of shown.filter((one) => one.seconds >= 0.5).sort((a, b) => b.seconds - a.seconds)) {
      const [start, width] = this.span(stall, now);
      const anchor = start + width / 2 > right - 26 ? "end" : "middle";
      const center = anchor === "end" ? start + width - 22 : start + width / 2;
      if (center < left + 20 || taken.some((other) => Math.abs(other - center) < ROOM)) continue;
      taken.push(center);
      labels.set(stall, anchor);
    }
    return labels;
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
    if (label) mark.append(draw("text", { class: stall.cell ? "" : "lc-strong", x: label === "end" ? width : width / 2, y: top - 8, "text-anchor": label }, spoken(stall.seconds)));
    return mark;
  }
}
