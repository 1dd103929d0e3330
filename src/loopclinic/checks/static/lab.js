// The lab beside its notebook: contract, verdict, earlier saves. All words come from the kernel.

const PATIENCE = 3000; // ms for a kernel to answer: none may be left that knows the lab of a saved notebook
const SVG = "http://www.w3.org/2000/svg";
const STATES = { open: "", kept: "kept", broken: "broken", "not-judged": "not judged", "not-reached": "not reached" };
const MARKS = { kept: "M3.500 8.500l3 3 6 -7", broken: "M4.500 4.500l7 7M11.500 4.500l-7 7", "not-judged": "M4.500 8h7" };

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) if (value !== null) element.setAttribute(name, value);
  element.append(...children.filter((one) => one !== null));
  return element;
}

function draw(tag, attributes, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** Words in which `code` stands between backticks. */
function prose(text) {
  return text.split("`").map((part, place) => (place % 2 ? make("code", {}, part) : part));
}

/** The path of a file from the server's folder: the kernel gives it from its notebook's. */
function fromServer(notebook, path) {
  const parts = [];
  for (const part of `${notebook}/../${path}`.split("/")) {
    if (part === "..") parts.pop();
    else if (part && part !== ".") parts.push(part);
  }
  return parts.join("/");
}

/** What a click needs in JupyterLab, none elsewhere: two commands of its own, by its command linker. */
class Commands {
  constructor(model, root) {
    const manager = model.widget_manager;
    this.notebook = manager?.context?.path ?? null;
    // From 4.6 on the command linker asks before it runs a command of an element that nothing vouches for.
    manager?.rendermime?.trustHandler?.markTrusted(root);
  }

  link(element, command, args) {
    element.setAttribute("data-commandlinker-command", command);
    element.setAttribute("data-commandlinker-args", JSON.stringify(args));
    return element;
  }

  /** Let a click open a file beside the notebook, at a line if one is given. */
  opens(element, path, line = null) {
    const aim = () => {
      // Whatever editor is in sight with this notebook is beside it: a further file becomes a tab there.
      const beside = document.querySelector(".lm-DockPanel-widget.jp-Document:not(.lm-mod-hidden):has(.jp-FileEditor)");
      const options = beside === null ? { mode: "split-right" } : { mode: "tab-after", ref: beside.id };
      const where = { path: fromServer(this.notebook, path), options };
      if (line === null) return this.link(element, "docmanager:open", where);
      // The second shows a line also of a file that is still loading; lines by RFC 5147, counted from 0.
      const commands = ["docmanager:open", "rendermime:handle-local-link"];
      return this.link(element, "apputils:run-all-enabled", { commands, args: { ...where, id: `#line=${line - 1}` } });
    };
    element.addEventListener("click", aim); // before the command linker, which listens to the page
    return aim();
  }
}

function box(state) {
  const mark = draw("svg", { class: "lc-box", viewBox: "0 0 16 16", "aria-hidden": "true" }, draw("rect", { x: 1, y: 1, width: 14, height: 14, rx: 3 }));
  if (MARKS[state]) mark.append(draw("path", { d: MARKS[state] }));
  return mark;
}

/** Bars from zero on one linear scale, each with its words. */
function bars(rows, most, label) {
  return make(
    "div",
    { class: "lc-bars", role: "img", "aria-label": label },
    ...rows.map(([name, value, words, kind]) => {
      const bar = make("span", { class: `lc-lab-bar lc-bar-${kind}` });
      bar.style.width = `${(100 * value) / most}%`;
      return make("div", { class: "lc-bar-row" }, make("span", { class: "lc-muted" }, name), make("span", { class: "lc-bar-line" }, bar), make("span", { class: "lc-bar-words" }, words));
    }),
  );
}

/** A bar from zero, with the budget as a line across it; one whose end was not measured fades out. */
function againstBudget({ measured, budget, values, open }) {
  const words = make("p", { class: "lc-figures" }, "Measured ", make("b", {}, measured), budget === null ? "" : `, budget ${budget}`);
  if (values === null) return words;
  const most = Math.max(...values) * 1.08 || 1;
  const bar = make("span", { class: `lc-lab-bar lc-bar-${open ? "open" : "broken"}` });
  bar.style.width = `${(100 * values[0]) / most}%`;
  const limit = make("span", { class: "lc-limit" });
  limit.style.left = `${(100 * values[1]) / most}%`;
  return make("div", {}, words, make("div", { class: "lc-bar-line", "aria-hidden": "true" }, bar, limit));
}

function reasonItem(reason, commands) {
  const item = make("li", {}, make("p", {}, ...prose(reason.sentence)));
  if (reason.code) item.append(make("pre", {}, reason.code));
  const about = make("p", { class: "lc-about lc-muted" });
  if (reason.promise !== null) about.append(`Promise ${reason.promise}`);
  if (reason.file !== null) {
    const place = reason.line === null ? reason.file : `${reason.file}:${reason.line}`;
    const link = commands.notebook === null ? make("code", {}, place) : commands.opens(make("a", { href: "#", class: "lc-where", title: "Open the file at this line" }, place), reason.path, reason.line);
    about.append(link);
  }
  if (reason.conflict !== null) about.append(make("span", { class: "lc-conflict" }, reason.conflict));
  if (about.childNodes.length) item.append(about);
  if (reason.bars !== null) item.append(againstBudget(reason.bars));
  if (reason.next) item.append(make("p", { class: "lc-next" }, make("b", {}, "Next: "), ...prose(reason.next)));
  return item;
}

/** Earlier saves: a dot each, as high as the promises that it kept, from none to all. */
function history(saves) {
  const shown = saves.slice(-20);
  const height = 34;
  const left = 20;
  const width = left + 14 * shown.length + 2;
  const kept = shown.map((one) => one.kept).join(", ");
  const label = `Promises kept at the last ${shown.length} checks: ${kept} of ${shown.at(-1).promises}`;
  const picture = draw("svg", { class: "lc-history", viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": label });
  const at = (one) => height - 6 - ((height - 12) * one.kept) / (one.promises || 1);
  picture.append(draw("path", { class: "lc-rule", d: `M${left} 6H${width}M${left} ${height - 6}H${width}` }));
  for (const kept of [shown.at(-1).promises, 0]) {
    picture.append(draw("text", { x: left - 5, y: (kept ? 6 : height - 6) + 4, "text-anchor": "end" }, String(kept)));
  }
  shown.forEach((one, place) => {
    const title = draw("title", {});
    title.textContent = `${one.kept} of ${one.promises} kept`;
    picture.append(draw("circle", { class: one.passed ? "lc-passed" : "lc-failed", cx: left + 9 + 14 * place, cy: at(one), r: 4 }, title));
  });
  return make("div", { class: "lc-saves lc-muted" }, make("span", {}, `Promises kept, last ${shown.length === 1 ? "check" : `${shown.length} checks`}`), picture);
}

class Page {
  constructor(model, root) {
    this.model = model;
    this.kernel = null; // whether one answers; unknown at first
    this.root = make("section", { class: "lc lc-panel lc-lab", "aria-label": `Lab ${model.get("lab").number}` });
    keepsNotebookStill(this.root);
    root.append(this.root);
    this.commands = new Commands(model, this.root);
    this.status = make("p", { class: "lc-lab-status lc-muted", role: "status" });
    this.head = make("header", {});
    this.verdict = make("div", { class: "lc-verdict" });
    this.contract = make("ol", { class: "lc-contract", "aria-label": "Contract" });
    this.tally = make("span", { class: "lc-muted" });
    this.saves = make("div");
    this.note = make("p", { class: "lc-note", role: "note" });
    this.hint = this.button("Next hint", () => model.send({ kind: "hint" }));
    this.check = this.button("Check now", () => model.send({ kind: "check" }));
    this.stop = this.button("Stop", () => model.send({ kind: "stop" }));
    this.heading();
    this.root.append(
      this.head,
      this.status,
      this.note,
      this.verdict,
      make("div", { class: "lc-lab-heading" }, make("h4", {}, "Contract"), this.tally, this.saves),
      this.contract,
    );
    this.drawers = { "change:state change:status": () => this.drawStatus(), "change:promises": () => this.drawContract(), "change:verdict": () => this.drawVerdict(), "change:saves": () => this.drawSaves(), "change:note change:hints_left": () => this.drawNote() };
    for (const [events, drawn] of Object.entries(this.drawers)) {
      model.on(events, drawn);
      drawn();
    }
    this.hear = (message) => message.kind === "here" && this.answers(true);
    model.on("msg:custom", this.hear);
    this.deaf = whenKernelEnds(model, () => this.answers(false));
    model.send({ kind: "hello" });
    this.expect();
  }

  /** Wait for an answer; a kernel whose loop is blocked, as lessons have it, will answer later. */
  expect() {
    const busy = () => this.model.widget_manager?.kernel?.status === "busy";
    const late = () => this.kernel ?? (busy() ? this.expect() : this.answers(false));
    this.patience = setTimeout(late, PATIENCE);
  }

  answers(kernel) {
    if (this.kernel === kernel) return;
    this.kernel = kernel;
    this.drawStatus();
    this.drawNote();
  }

  close() {
    clearTimeout(this.patience);
    this.model.off("msg:custom", this.hear);
    this.deaf();
    for (const [events, drawn] of Object.entries(this.drawers)) this.model.off(events, drawn);
  }

  button(label, act) {
    const button = make("button", { type: "button" }, label);
    if (act) button.addEventListener("click", act);
    return button;
  }

  heading() {
    const lab = this.model.get("lab");
    this.head.append(make("h3", {}, `Lab ${lab.number}`, make("code", {}, lab.shown)));
    const tools = make("div", { class: "lc-lab-tools", role: "group", "aria-label": "Lab" });
    if (this.commands.notebook !== null) {
      const open = this.button("Open beside the notebook");
      open.className = "lc-primary";
      this.commands.opens(open, lab.path);
      // The notebook becomes narrower, and all above longer: what was clicked stays in view.
      open.addEventListener("click", () => {
        const keep = new ResizeObserver(() => this.root.scrollIntoView({ block: "start" }));
        keep.observe(this.root);
        setTimeout(() => keep.disconnect(), 1500);
      });
      tools.append(open);
    }
    tools.append(this.check, this.hint, this.stop);
    this.head.append(tools);
    if (this.commands.notebook === null || !lab.files.length) return;
    const links = lab.files.map((file) => make("li", {}, this.commands.opens(make("a", { href: "#" }, file.shown), file.path)));
    this.head.append(make("ul", { class: "lc-files", "aria-label": "Files of this lab" }, ...links));
  }

  drawStatus() {
    const gone = this.kernel === false;
    this.root.dataset.state = gone ? "stopped" : this.model.get("state");
    this.status.textContent = gone ? "No kernel answers: run this cell again." : this.kernel ? this.model.get("status") : "";
    this.check.disabled = this.stop.disabled = this.root.dataset.state === "stopped";
  }

  drawContract() {
    const promises = this.model.get("promises");
    this.tally.textContent = this.model.get("verdict")?.tally || `${promises.length} promises`;
    this.contract.replaceChildren(
      ...promises.map(({ number, state, text }, place) => {
        const item = make("li", { "data-state": state, value: number }, box(state), make("span", {}, make("b", {}, `${number}. `), ...prose(text), " ", make("span", { class: "lc-muted" }, ...prose(this.model.get("lab").more[number] ?? "")), " ", make("span", { class: "lc-state lc-muted" }, STATES[state])));
        item.style.setProperty("--lc-place", place);
        return item;
      }),
    );
  }

  drawVerdict() {
    const verdict = this.model.get("verdict");
    this.verdict.replaceChildren();
    this.root.dataset.status = verdict?.status ?? "";
    if (verdict === null) return;
    const head = make("p", { class: "lc-say lc-lab-verdict", role: "status" }, make("strong", {}, verdict.word), ` ${verdict.headline}`, make("small", {}, verdict.about));
    this.verdict.append(head);
    if (verdict.status === "passed") this.verdict.append(...this.passed(verdict));
    if (verdict.reasons.length) this.verdict.append(this.reasons(verdict.reasons, "What to fix"));
    const { title, reasons } = verdict.signs;
    if (reasons.length) this.verdict.append(make("details", {}, make("summary", {}, title), this.reasons(reasons, title)));
  }

  reasons(some, label) {
    return make("ol", { class: "lc-reasons", "aria-label": label }, ...some.map((one) => reasonItem(one, this.commands)));
  }

  passed({ difference }) {
    const found = [];
    if (difference !== null) {
      const { what, values, words } = difference;
      const label = `${what} ${words[0]}, the reference ${words[1]}`;
      found.push(make("div", { class: "lc-difference" }, make("p", {}, `Where yours differs from the reference. ${what}:`), bars([["yours", values[0], words[0], "yours"], ["reference", values[1], words[1], "reference"]], Math.max(...values), label)));
    }
    const following = this.model.get("following");
    if (following !== null) {
      const link = make("a", { class: "lc-following", href: "#" }, `Next lesson: ${following.title}`);
      if (this.commands.notebook !== null) found.push(make("p", {}, this.commands.link(link, "docmanager:open", { path: fromServer(this.commands.notebook, following.path) })));
    }
    return found;
  }

  drawSaves() {
    const saves = this.model.get("saves").filter((one) => one.promises > 0);
    this.saves.replaceChildren(...(saves.length ? [history(saves)] : []));
  }

  drawNote() {
    this.note.replaceChildren(...prose(this.model.get("note")));
    this.hint.disabled = this.kernel === false || !this.model.get("hints_left");
  }
}

export default {
  render({ model, el }) {
    const page = new Page(model, el);
    return () => page.close();
  },
};
