"use strict";
// The page holds everything it needs, as base64 of gzip.
const unpack = async element => {
  const bytes = Uint8Array.from(atob(element.textContent), c => c.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
};
const make = (tag, properties = {}, ...children) => {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
};
const once = get => { let value; return () => value ??= get(); };
// Script elements whose texts the page's policy knows by their hashes.
const run = async (name, type) =>
  document.head.append(make("script", {type, textContent: await unpack(document.getElementById(`library-${name}`))}));
const plotly = once(async () => { await run("plotly", "text/javascript"); return window.Plotly; });
// A module that has run says so by an event, which the report adds to its end; a classic script runs at once.
const datatables = once(() => new Promise((done, failed) => {
  document.addEventListener("datatables", ({detail}) => done(detail), {once: true});
  run("datatables", "module").catch(failed);
}));
const visible = (element, act) => new IntersectionObserver((entries, observer) => {
  if (entries.some(entry => entry.isIntersecting)) { observer.disconnect(); act(); }
}, {rootMargin: "500px"}).observe(element);
const grouped = value => value.toLocaleString("en-GB");

// Light and dark: as the system says, until the button says otherwise. Figures are drawn again, in the other template.
const root = document.documentElement, button = document.getElementById("theme"), drawn = new Map();
const templates = JSON.parse(document.getElementById("templates").textContent);
const draw = async (place, {data, layout}) => {
  drawn.set(place, {data, layout});
  const template = templates[root.dataset.theme];
  await (await plotly()).react(place, data, {...layout, template}, {displayModeBar: false, responsive: true, typesetMath: false});
};
const theme = name => {
  root.dataset.theme = name;
  button.setAttribute("aria-pressed", name === "dark");
  for (const [place, figure] of drawn) draw(place, figure);
};
const dark = matchMedia("(prefers-color-scheme: dark)");
button.addEventListener("click", () => theme(root.dataset.theme === "dark" ? "light" : "dark"));
dark.addEventListener("change", () => theme(dark.matches ? "dark" : "light"));
theme(dark.matches ? "dark" : "light");
root.classList.add("scripted");
