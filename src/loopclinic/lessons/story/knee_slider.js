// Shows HTML. The slider stands in the same output, as a widget of its own: both leave the notebook still.

function render({ model, el }) {
  const show = () => { el.innerHTML = model.get("value"); };
  show();
  model.on("change:value", show);
  requestAnimationFrame(() => keepsNotebookStill(el.closest(".jp-OutputArea-output") ?? el));
  return () => model.off("change:value", show);
}

export default { render };
