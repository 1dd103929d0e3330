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
    this.root = make("div", { class: "lc lc-chip", "aria-hidden": "true" }, this.icon, make("p", {}, this.word, this.rest, this.code));
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

