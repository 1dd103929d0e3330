// The live scope: draws what the probe's watchdog thread reports, ten times a second, also while
// the event loop is stuck. One Track per widget model keeps the last minute; each view draws it.
// The other files here stand before this one in the page's module: see widget.py.

const ALIVE_EVERY = 20; // seconds between two signs of life to the kernel
const KEPT_EVERY = 2; // seconds after which what is known is put where JupyterLab saves it with the notebook

export default () => {
  const track = new Track();
  return {
    initialize({ model }) {
      const handle = (message) => track.handle(message);
      track.restore(model.get("history"));
      model.on("msg:custom", handle);
      const deaf = whenKernelEnds(model, () => track.end());
      const keep = setInterval(() => track.now && model.set("history", track.kept()), KEPT_EVERY * 1000);
      return () => {
        deaf();
        clearInterval(keep);
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
