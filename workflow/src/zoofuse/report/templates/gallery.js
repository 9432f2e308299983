"use strict";
const byId = id => document.getElementById(id);
const bytes = Uint8Array.from(atob(byId("scores").textContent), c => c.charCodeAt(0));
const scores = new Float32Array(bytes.buffer);  // falling
const own = Number(byId("scores").dataset.threshold);
const [slider, number, list] = [byId("slider"), byId("threshold"), byId("images")];
const output = document.querySelector("output"), bars = [...document.querySelectorAll("rect")];
const images = [...list.children];
const border = Object.assign(document.createElement("li"), {className: "border", tabIndex: -1});
const grouped = new Intl.NumberFormat("en");

function predicted(threshold) {  // how many scores are at least the threshold
  let low = 0, high = scores.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (scores[middle] >= threshold) low = middle + 1; else high = middle;
  }
  return low;
}

function short(x) { return x.toPrecision(4).replace(/\.?0+$/, ""); }

function set(threshold, from) {
  const yes = predicted(threshold);
  const text = `${grouped.format(yes)} of ${grouped.format(scores.length)} are predicted yes`;
  output.textContent = text;
  if (from !== slider) slider.value = scores.length - yes;
  if (from !== number) number.value = short(threshold);
  slider.setAttribute("aria-valuetext", `${short(threshold)}: ${text}`);
  for (const image of images) image.classList.toggle("yes", image.dataset.rank < yes);
  bars.forEach((bar, i) => bar.classList.toggle("yes", (i + .5) / bars.length * scores.length >= scores.length - yes));
  border.textContent = `Threshold ${short(threshold)}: yes above this line, no below it`;
  list.insertBefore(border, images.find(image => image.dataset.rank >= yes) ?? null);
}

slider.addEventListener("input", () => {
  const yes = scores.length - slider.value;
  set(yes ? scores[yes - 1] : Math.max(1, scores[0]) + 1e-6, slider);
});
number.addEventListener("input", () => { if (number.value !== "") set(number.valueAsNumber, number); });
byId("reset").addEventListener("click", () => set(own));
byId("show").addEventListener("change", event => { list.dataset.show = event.target.value; });
byId("go").addEventListener("click", () => { border.scrollIntoView({block: "center"}); border.focus({preventScroll: true}); });
document.forms[0].addEventListener("submit", event => event.preventDefault());
document.forms[0].hidden = false;
set(own);
