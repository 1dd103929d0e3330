// What is known of one probe, once per widget model: the last minute, tick by tick.
// The browser keeps its own clock, so that silence is shown too.

const WINDOW = 60; // seconds that are kept
const SPANS = [10, 20, 30, WINDOW]; // seconds on the strip: the shortest that holds all there is
const FLOOR = 0.001, CEILING = 10; // seconds, the strip's log scale
const KEPT_TICKS = 900, KEPT_STALLS = 50;
const SILENCE = 1; // seconds without a word from the kernel before the scope says so
const STARVED = 0.25; // seconds: a shorter silence may be the machine's doing
const WITNESSED = 0.5; // seconds for which a word from the process beside the kernel holds

class Track {
  constructor() {
    this.ticks = []; // {at, lag}: lag is null while a stall is drawn in its place
    this.stalls = []; // finished ones, newest last
    this.now = null; // the latest tick
    this.heard = -Infinity; // when it came, on the browser's clock
    this.lead = null; // browser clock minus kernel clock
    this.stopped = false;
    this.over = null; // why nothing comes any more, if not because the scope was stopped
    this.witness = null; // hears from the process beside the kernel while a call keeps the GIL
    this.held = null; // what it said last, and when
    this.views = new Set();
    this.settings = { threshold: 0.05, lessons: {}, notebooks: null, lesson: null };
  }

  clock() {
    return performance.now() / 1000;
  }

  /** Now, in the kernel's seconds, by the browser's clock: it goes on when the kernel does not. */
  kernelNow() {
    if (this.now === null) return 0;
    if (this.heldAt !== undefined) return this.heldAt;
    return this.stopped ? this.now.at : Math.max(this.now.at, this.clock() - this.lead);
  }

  /** Seconds that the strip shows. */
  span() {
    const first = this.ticks[0]?.at ?? 0;
    return SPANS.find((span) => this.kernelNow() - first <= span) ?? WINDOW;
  }

  silence() {
    return this.now === null || this.stopped || this.heldAt !== undefined ? 0 : this.clock() - this.heard;
  }

  /** A copy that time no longer touches. */
  freeze() {
    const still = Object.assign(Object.create(Track.prototype), this);
    return Object.assign(still, { ticks: [...this.ticks], stalls: [...this.stalls], held: null, heldAt: this.kernelNow() });
  }

  /** The stall that only the process beside the kernel can see, or null. */
  witnessed() {
    const { held } = this;
    if (held === null || this.clock() - held.heard > WITNESSED || this.heard > held.heard) return null;
    const seconds = held.silent + this.clock() - held.heard;
    return { id: -1, started: this.kernelNow() - seconds, seconds, other: held.other, where: held.where, code: held.code, cell: false };
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
      const { silent, other, file, line, code } = JSON.parse(data);
      const where = file.includes("ipykernel_") ? `line ${line} of the running cell` : `${file.split(/[\\/]/).at(-1)}:${line}`;
      this.held = { silent, other, where, code, heard: this.clock() };
      for (const view of this.views) view.draw();
    };
    // Out of reach (a remote server): the browser's own clock has to do.
    this.witness.onerror = () => this.deafen();
  }

  deafen() {
    this.witness?.close();
    this.witness = null;
  }

  /** What JupyterLab saves with the notebook, in the form of the kernel's own history. */
  kept() {
    const { settings, stalls, now } = this;
    const ticks = this.ticks.map(({ at, lag }) => [at, lag]);
    return { settings, ticks, stalls: [...stalls], now: { ...now, stall: null, ended: [], witness: null }, stopped: true, saved: Date.now() };
  }

  /** The kernel was restarted or has ended: keep what is known, and raise no alarm about its silence. */
  end() {
    if (this.stopped) return;
    this.stopped = true;
    this.over ??= ": the kernel was restarted, or has ended";
    this.deafen();
    for (const view of this.views) view.draw();
  }

  /** A word from the kernel after all: only the connection was lost, for a while. */
  revive() {
    this.stopped = false;
    this.over = null;
    this.url = null; // so that the process beside the kernel is heard again
  }

  restore(history) {
    if (!history) return;
    if (history.saved) this.over = `: as it was on ${new Date(history.saved).toLocaleString()}, saved with the notebook`;
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
    if (message.kind === "tick") {
      if (this.over !== null) this.revive();
      this.receive(message);
    } else if (message.kind === "stopped") {
      this.stopped = true;
      this.over = null;
    } else return;
    for (const view of this.views) view.draw();
  }

  /** The longest stall of the last minute and how many there were; if none was in it, the last one before. */
  worst() {
    // A short plain cell is worth a line in the list, not the headline.
    const told = this.stalls.filter((stall) => !stall.cell || stall.seconds >= 1);
    const since = this.kernelNow() - WINDOW;
    let recent = told.filter((stall) => stall.started + stall.seconds > since);
    if (recent.length === 0) recent = told.slice(-1);
    const stalls = recent.filter((stall) => !stall.cell);
    if (stalls.length) recent = stalls;
    const worst = recent.reduce((most, one) => (one.seconds > (most?.seconds ?? 0) ? one : most), null);
    return worst && { ...worst, many: recent.length };
  }

  /** The one state of the loop: its name, a sentence, and the detail under it. */
  state() {
    const { now } = this;
    if (now === null) return { name: "waiting", word: "Waiting", rest: " for the first figures from the kernel", detail: "They arrive as soon as the kernel answers." };
    const worst = this.worst();
    if (this.stopped) return { name: "stopped", word: "Stopped", rest: this.over ?? ": this scope no longer measures", detail: "Run the cell again to go on measuring." };
    if (this.heldAt !== undefined) return { name: "paused", word: "Paused", rest: ": this view holds still; the scope goes on measuring", detail: worst ? `The longest stall took ${spoken(worst.seconds)} at ${worst.where}.` : "Nothing had stalled." };
    const silence = this.silence();
    const held = this.witnessed();
    if (held) return { name: "stalled", word: "Stalled", rest: ` now for ${spoken(held.seconds)} at ${held.where}${held.other ? ", where another thread keeps the GIL" : held.seconds > STARVED ? ", which keeps the GIL" : ""}`, code: held.code, detail: held.code ? "" : "Seen by the process beside the kernel: nothing in the kernel can run." };
    if (silence > SILENCE) {
      return { name: "silent", word: "No heartbeat", rest: ` for ${spoken(silence)}: something holds the GIL, or the kernel is gone`, detail: now.stall?.code ? `Last seen at ${now.stall.where}` : "Counted by this browser’s own clock.", code: now.stall?.code };
    }
    const stuck = now.stall;
    if (stuck) {
      return stuck.cell
        ? { name: "cell", word: "Cell at work", rest: ` for ${spoken(stuck.seconds)}: plain synchronous code, so the loop waits for it`, detail: stuck.where, code: stuck.code }
        : { name: "stalled", word: "Stalled", rest: stuck.burst ? ` now for ${spoken(stuck.seconds)}: too much work in one iteration` : ` now for ${spoken(stuck.seconds)} at ${stuck.where}`, code: stuck.code, detail: stuck.code ? "" : stuck.diagnosis ?? "The line is not known yet." };
    }
    if (now.crowded) return { name: "busy", word: "Busy", rest: ": too much work, no single line", detail: `The loop had callbacks to run for ${Math.round(now.crowded * 100)}\u00a0% of the last second.` };
    if (worst) {
      const what = worst.cell ? "a cell held the loop for" : `the ${worst.many > 1 ? `longest of ${worst.many} stalls` : "last stall"} took`;
      return { name: "calm", word: "Calm", rest: ` again; ${what} ${spoken(worst.seconds)}, ${ago(this.kernelNow() - worst.started - worst.seconds)}`, detail: worst.where, code: worst.code };
    }
    return { name: "calm", word: "Calm", rest: ": the loop is free to answer", detail: `No event of the last minute waited longer than ${spoken(now.worst)}.` };
  }
}
