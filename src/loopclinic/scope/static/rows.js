// The list of stalls: each with its line, what it was, and the lesson that treats it.

/** Return a file's path as JupyterLab's server knows it, or null outside of JupyterLab or its root. */
function labPath(...candidates) {
  const config = document.getElementById("jupyter-config-data")?.textContent;
  if (!config) return null;
  const root = JSON.parse(config).serverRoot?.replace(/\/+$/, "");
  if (root === undefined) return null;
  const found = candidates.find((candidate) => candidate?.startsWith(`${root}/`));
  return found ? found.slice(root.length + 1) : null;
}

/** A link that JupyterLab's own command opens in a tab beside this one, at a line if one is given. */
function opens(path, name, label, line) {
  // Its links to local files know fragments: RFC 5147, lines counted from 0.
  const command = line ? "rendermime:handle-local-link" : "docmanager:open";
  const args = JSON.stringify(line ? { path, id: `#line=${line - 1}` } : { path });
  return make("a", { class: name, href: "#", "data-commandlinker-command": command, "data-commandlinker-args": args }, label);
}

/** What makes two stalls the same row: the line, and what it was. */
const key = (stall) => JSON.stringify([stall.burst ? "" : stall.where, stall.code, stall.conflict, stall.cell, stall.gil, stall.burst]);

const TALL = 216; // pixels that the list may take

class Rows {
  constructor(track) {
    this.track = track;
    this.list = make("ol", { class: "lc-list" });
    this.empty = make("p", { class: "lc-empty" });
    this.count = make("span", { class: "lc-count" });
    this.root = make("div", { class: "lc-scroll", tabindex: "0", role: "region", "aria-label": "Stalls, newest first" }, this.empty, this.list);
    this.list.addEventListener("toggle", () => this.fit(), true);
  }

  draw() {
    const { stalls, stopped } = this.track, stuck = this.track.stuck();
    const empty = stuck ? (stopped ? "This one had not ended when the scope stopped." : "This one is listed here when it ends.") : stopped ? "Nothing had stalled." : "Nothing has stalled yet. Stalls are listed here.";
    write(this.empty, stalls.length ? "" : empty);
    const newest = stalls.at(-1)?.id ?? null;
    if (newest === this.listed) return;
    const known = new Map([...this.list.children].map((row) => [row.dataset.line, row]));
    this.focus = null; // what has it, if its row is made anew
    this.list.replaceChildren(...this.lines().map((same) => this.kept(known, same) ?? this.row(same)));
    this.focus?.focus();
    this.listed = newest;
    this.ages();
    this.fit();
  }

  /** The stalls of each line together, the line that stalled last first. */
  lines() {
    const lines = new Map();
    for (const stall of [...this.track.stalls].reverse()) {
      const line = key(stall);
      lines.set(line, [...(lines.get(line) ?? []), stall]);
    }
    return [...lines.values()];
  }

  /** A row that is up to date, or one that another takes the place of, opened as it was. */
  kept(known, same) {
    const row = known.get(key(same[0]));
    if (!row || row.dataset.times === String(same.length)) return row;
    const next = this.row(same);
    const [before, after] = [row, next].map((one) => one.querySelector("details"));
    if (before?.open && after) after.open = true;
    if (row.contains(document.activeElement)) this.focus = after?.querySelector("summary");
    return next;
  }

  /** Let the list end with a whole row: what is beyond is scrolled to. */
  fit() {
    const top = this.list.offsetTop;
    const ends = [...this.list.children].map((row) => row.offsetTop + row.offsetHeight - top);
    const last = ends.findLast((end) => end <= TALL) ?? ends[0];
    this.root.style.maxHeight = last > 0 ? `${last}px` : "";
  }

  ages() {
    const now = this.track.kernelNow();
    const { stalls } = this.track;
    for (const row of this.list.children) write(row.querySelector("time"), ago(now - Number(row.dataset.end)));
    const cells = stalls.filter((stall) => stall.cell).length;
    write(this.count, stalls.length ? [stalls.length - cells && `${stalls.length - cells} on the loop`, cells && `${cells} synchronous cell${cells === 1 ? "" : "s"}`].filter(Boolean).join(", ") : "");
  }

  row(same) {
    const stall = same.reduce((longest, one) => (one.seconds > longest.seconds ? one : longest));
    const end = same[0].started + same[0].seconds;
    const times = same.length > 1 ? [make("span", { class: "lc-times", title: `${same.length} stalls, the longest is shown` }, `\u00d7\u00a0${same.length}`)] : [];
    const row = make("li", { "data-line": key(stall), "data-times": same.length, "data-end": end, class: stall.cell ? "lc-row lc-row-cell" : "lc-row" });
    const [number, unit] = duration(stall.seconds);
    const treatment = make("span", { class: "lc-treatment" }, ...this.treatment(stall));
    const middle = make("div", { class: "lc-place" });
    const line = make("code", {}, stall.code || "");
    const said = [stall.diagnosis, stall.others && `Of it, ${stall.others}.`, stall.waited, stall.task && `Task ${stall.task}.`].filter(Boolean).join(" ");
    if (stall.stack.length > 1 || said) {
      const frames = stall.stack.map((frame) => make("li", {}, make("span", {}, `${frame.where} in ${frame.function}`), make("code", {}, frame.code)));
      const summary = make("summary", { title: "Show the calls that led there" }, make("span", { class: "lc-line" }, this.where(stall), line));
      middle.append(make("details", {}, summary, ...(said ? [make("p", { class: "lc-said" }, said)] : []), ...this.shares(stall), make("ol", { class: "lc-stack" }, ...frames)));
    } else middle.append(this.where(stall), line);
    row.append(make("span", { class: "lc-length" }, glyph(stall.cell ? "cell" : "stalled"), make("b", {}, number), make("i", {}, unit), ...times), middle, treatment, make("time"));
    return row;
  }

  /** What each line and each callback took of it, and which tasks waited. */
  shares(stall) {
    const line = (one, words, code) => {
      const bar = make("i", { style: `width: ${Math.round(100 * one.share)}%`, "aria-hidden": "true" });
      return make("li", {}, bar, make("span", {}, `${spoken(one.seconds)}, ${Math.round(100 * one.share)} %, ${words}`), ...(code ? [make("code", {}, code)] : []));
    };
    const lists = [
      ["lc-shares", "Where its time went", (stall.lines ?? []).map((one) => line(one, `at ${one.where} in ${one.function}`, one.code))],
      ["lc-shares", "Which callback took it", (stall.handlers ?? []).map((one) => line(one, [one.name, one.task].filter(Boolean).join(", ")))],
      ["lc-waiters", "Which tasks waited", (stall.waiters ?? []).map((one) => make("li", {}, `${one.count} ${one.ready ? "ready" : "suspended"}: ${one.chain.join(" > ")}`))],
    ];
    return lists.filter(([, , rows]) => rows.length).map(([name, label, rows]) => make("ul", { class: name, "aria-label": label }, ...rows));
  }

  /** The place: a link to the source where JupyterLab can open it, or to the cell above. */
  where(stall) {
    const name = "lc-where";
    if (stall.prompt) {
      const link = make("a", { class: name, href: "#", title: "Show the cell" }, stall.where);
      link.addEventListener("click", (event) => { event.preventDefault(); this.show(stall.prompt); });
      return link;
    }
    const path = labPath(stall.file, stall.fileFromHome);
    return path === null ? make("span", { class: name }, stall.where) : opens(path, name, stall.where, stall.line);
  }

  show(prompt) {
    const page = this.root.closest(".jp-NotebookPanel") ?? document;
    const cell = [...page.querySelectorAll(".jp-InputPrompt")].find((one) => one.textContent.trim() === `${prompt}:`);
    cell?.closest(".jp-Cell")?.scrollIntoView({ block: "center" });
  }

  treatment(stall) {
    if (stall.cell) return ["synchronous cell"];
    if (stall.burst) return ["too much work"];
    if (stall.kit) return ["the kit's own work"];
    if (!stall.conflict) return [stall.garbage ? "garbage collection" : stall.gil ? "the GIL was held" : ""];
    const words = stall.gil ? `${stall.conflict}, the GIL was held` : stall.conflict;
    const treated = this.track.settings.lessons[stall.conflict];
    if (!treated) return [words];
    const [name, title] = treated;
    if (name === this.track.settings.lesson) return [words]; // the reader is in it
    const folder = this.track.settings.notebooks;
    const path = labPath(...[folder?.absolute, folder?.fromHome].map((one) => one && `${one}/${name}.ipynb`));
    const label = `lesson ${name.split("_")[0]}: ${title}`;
    return [words, path === null ? make("span", { class: "lc-lesson" }, label) : opens(path, "lc-lesson", label)];
  }
}
