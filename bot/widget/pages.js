/* The document's page: its source record goes to the clipboard at one press, where a script may run. */
"use strict";
for (const field of document.querySelectorAll("[data-cite]")) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = field.previousElementSibling.textContent;
  button.addEventListener("click", async () => {
    field.select();
    try {
      await navigator.clipboard.writeText(field.value);
      button.textContent = field.dataset.cite;
    } catch {} // the text is selected: it can be copied by hand
  });
  field.after(button);
}
