// Asks for the study's state every two seconds. What comes is markup that the server has escaped.
"use strict";
const live = document.getElementById("live");
const lost = document.getElementById("lost");
let shown = "";
async function refresh() {
  try {
    const answer = await fetch("status");
    if (!answer.ok) throw new Error(answer.statusText);
    const markup = await answer.text();
    if (markup !== shown) {
      live.innerHTML = shown = markup;
      document.title = live.firstElementChild.dataset.title;
    }
    lost.hidden = true;
  } catch {
    lost.hidden = false;
  }
  setTimeout(refresh, 2000);
}
setTimeout(refresh, 2000);
