/**
 * Keep the notebook as it is: a press or a key in `root` neither selects the cell, so that Shift+Enter would
 * run it again, nor is it a command of JupyterLab. Shift+Enter and what has Ctrl, Alt or Meta still are.
 */
function keepsNotebookStill(root) {
  for (const kind of ["mousedown", "focusin"]) root.addEventListener(kind, (event) => event.stopPropagation());
  root.addEventListener("keydown", (event) => {
    const command = event.ctrlKey || event.altKey || event.metaKey || (event.key === "Enter" && event.shiftKey);
    if (!command) event.stopPropagation();
  });
}

/** Call `act` when the kernel was restarted or has ended, maybe more than once; return what ends that. */
function whenKernelEnds(model, act) {
  const look = setInterval(() => {
    const { kernel } = model.widget_manager ?? {};
    if (kernel === null || kernel?.isDisposed || kernel?.status === "dead") act();
  }, 400);
  model.on("comm_live_update", act);
  return () => {
    clearInterval(look);
    model.off("comm_live_update", act);
  };
}
