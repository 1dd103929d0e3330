// One view of a track: the status, the figures, the strip and the list.

class View {
  constructor(track, root) {
    this.track = track;
    this.frozen = null; // the track as it was when the view was paused
    this.rows = new Rows(track);
    this.strip = new Strip();
    this.figures = Object.fromEntries(FIGURES.map(([key]) => [key, [make("b"), make("i")]]));
    this.note = {};
    this.icon = make("span", { class: "lc-icon" });
    this.word = make("strong");
    this.rest = make("span");
    this.detail = make("span");
    this.code = make("code");
    this.live = make("p", { class: "lc-spoken", role: "status", "aria-live": "polite" });
    this.legend = make("span");
    this.title = make("h4");
    this.pause = this.button("Pause", "Hold what is shown; the scope goes on measuring", () => this.hold());
    this.pause.setAttribute("aria-pressed", "false");
    const tools = make(
      "div",
      { class: "lc-tools", role: "group", "aria-label": "Tools" },
      this.pause,
      this.button("PNG", "Save a picture of the last minute", async () => hand(await asPng(this), stamp("png"))),
      this.button("JSON", "Save the figures of the last minute", () => hand(asJson(this.shows()), stamp("json"))),
    );
    const numbers = FIGURES.map(([key, name, meaning]) => {
      this.note[key] = make("small", {}, meaning);
      return make("div", { "data-figure": key }, make("span", { class: "lc-name" }, name), make("div", { class: "lc-value" }, ...this.figures[key], this.note[key]));
    });
    this.root = make(
      "section",
      { class: "lc lc-panel lc-scope", "aria-label": "Scope: lag of the event loop" },
      make("div", { class: "lc-status" }, this.icon, make("div", {}, make("p", { class: "lc-sentence" }, this.word, this.rest), make("p", { class: "lc-detail" }, this.detail, this.code))),
      make("div", { class: "lc-numbers", role: "group", "aria-label": "Figures" }, ...numbers),
      make("div", { class: "lc-heading" }, this.title, make("p", { class: "lc-legend", "aria-hidden": "true" }, make("span", { class: "lc-key-lag" }), "lag", glyph("stalled"), this.legend, glyph("cell"), "synchronous cell"), tools),
      this.strip.svg,
      make("div", { class: "lc-heading" }, make("h4", {}, "Stalls"), this.rows.count),
      this.rows.root,
      this.live,
    );
    keepsNotebookStill(this.root);
    root.append(this.root);
    this.chip = new Chip(this.root);
    this.resized = new ResizeObserver(() => { this.resize(); this.draw(); });
    this.resized.observe(this.root);
    this.timer = setInterval(() => this.draw(), 250);
    this.still = matchMedia("(prefers-reduced-motion: reduce)");
    this.resize();
    this.draw();
  }

  button(label, title, act) {
    const button = make("button", { type: "button", title }, label);
    button.addEventListener("click", act);
    return button;
  }

  /** What the view shows: the track, or what it was when the view was paused. */
  shows() {
    return this.frozen ?? this.track;
  }

  hold() {
    this.frozen = this.frozen ? null : this.track.freeze();
    this.rows.track = this.shows();
    this.pause.setAttribute("aria-pressed", String(this.frozen !== null));
    write(this.pause, this.frozen ? "Go on" : "Pause");
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
    this.rows.fit();
  }

  draw() {
    if (document.hidden) return;
    const track = this.shows();
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
    const requests = track.now?.requests ?? 0;
    write(this.note.tasks, requests ? `of them ${requests} request${requests === 1 ? "" : "s"}` : FIGURES[4][2]);
    write(this.note.threads, waiting ? `busy, ${waiting} calls queue` : FIGURES[5][2]);
    write(this.note.lag, silent ? "by this browser’s clock" : FIGURES[0][2]);
    write(this.legend, `stall, over ${duration(track.settings.threshold)[0].replace(/\.?0+$/, "")}\u00a0${duration(track.settings.threshold)[1]}`);
    const second = Math.floor(track.clock());
    if (!this.still.matches || second !== this.drawn || state.name !== this.shown) this.strip.draw(track);
    this.shown = state.name;
    write(this.title, `Lag, last ${track.span()} s`);
    this.rows.draw();
    if (second !== this.drawn) this.rows.ages();
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
    const { stalls } = this.shows();
    if (state.name === "stalled") write(this.live, `The loop stalls at ${this.track.stuck().where}: ${this.track.stuck().code ?? ""}`);
    else if (state.name === "silent") write(this.live, "No heartbeat: something holds the GIL, or the kernel is gone.");
    else if (state.name === "stopped") write(this.live, "Stopped: this scope no longer measures.");
    else if (before === "stalled" || before === "silent") {
      const last = stalls.at(-1);
      write(this.live, last ? `The loop is free again after ${spoken(last.seconds)}, at ${last.where}.` : "The heartbeat is back.");
    }
  }
}
