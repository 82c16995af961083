// Small parts that figures and tables share.
function quietButton(text, act) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "quiet-button";
  button.textContent = text;
  button.addEventListener("click", () => act(button));
  return button;
}

function filled(sentence, values) {
  return sentence.replace(/\{(\w+)\}/g, (_, name) => values[name].toLocaleString("en"));
}
