"use strict";
const byId = id => document.getElementById(id);
const floats = packed => new Float32Array(Uint8Array.from(atob(packed), c => c.charCodeAt(0)).buffer);
const scores = floats(byId("scores").textContent);  // falling
const own = Number(byId("scores").dataset.threshold);
const [slider, number, list] = [byId("slider"), byId("threshold"), byId("images")];
const output = document.querySelector("output"), bars = [...document.querySelectorAll("rect")];
const images = [...list.children];
const border = Object.assign(document.createElement("li"), {className: "border", tabIndex: -1});
const dropped = byId("dropped"), model = JSON.parse(byId("model").textContent);
const weights = floats(model.weights);
let current = own;
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
  current = threshold;
  const yes = predicted(threshold);
  const text = `${grouped.format(yes)} of ${grouped.format(scores.length)} are predicted yes`;
  output.textContent = text;
  if (from !== slider) slider.value = scores.length - yes;
  if (from !== number) number.value = short(threshold);
  slider.setAttribute("aria-valuetext", `${short(threshold)}: ${text}`);
  for (const image of images) image.classList.toggle("yes", image.dataset.rank < yes);
  bars.forEach((bar, i) => bar.classList.toggle("yes", (i + .5) / bars.length * scores.length >= scores.length - yes));
  for (const item of dropped.children) item.classList.toggle("yes", item.dataset.score >= threshold);
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

// --- Other images: decoded by the browser, then resized and scored as zoofuse does, with the weights in this page.

// One direction of Pillow's bilinear resize, in its fixed-point numbers, of an image with `bytes` for each pixel. Rows
// become `size` long, and rows and columns change places, so that the second call resizes the other direction.
function resized(pixels, bytes, width, height, size) {
  const scale = width / size, reach = Math.max(scale, 1), result = new Uint8ClampedArray(3 * size * height);
  for (let x = 0; x < size; x++) {
    const centre = (x + .5) * scale;
    const from = Math.max(0, Math.trunc(centre - reach + .5)), to = Math.min(width, Math.trunc(centre + reach + .5));
    const taps = Float64Array.from({length: to - from},
      (_, i) => Math.max(0, 1 - Math.abs((i + from - centre + .5) * (1 / reach))));
    const total = taps.reduce((sum, tap) => sum + tap, 0);
    const shares = taps.map(tap => Math.floor(.5 + tap / total * (1 << 22)));
    for (let y = 0; y < height; y++) {
      for (let channel = 0; channel < 3; channel++) {
        let sum = 1 << 21;
        for (let i = from; i < to; i++) sum += pixels[bytes * (y * width + i) + channel] * shares[i - from];
        result[3 * (x * height + y) + channel] = Math.floor(sum / (1 << 22));
      }
    }
  }
  return result;
}

// (convolution without padding, ReLU, max-pool 2) for each conv layer, flatten, linear heads, logistic function.
function predictedOf(pixels) {
  const {channels, kernel, concepts} = model;
  let size = model.size, at = 0;  // `at`: where the layer's weights begin
  let planes = new Float32Array(3 * size * size);
  pixels.forEach((value, i) => { planes[i % 3 * size * size + Math.floor(i / 3)] = (value / 255 - .5) / .5; });
  for (let layer = 1; layer < channels.length; layer++) {
    const [inputs, outputs, half] = [channels[layer - 1], channels[layer], (size - kernel + 1) >> 1];
    const each = inputs * kernel * kernel, bias = at + outputs * each, pooled = new Float32Array(outputs * half * half);
    for (let o = 0; o < outputs; o++) {
      for (let y = 0; y < 2 * half; y++) {
        for (let x = 0; x < 2 * half; x++) {
          let sum = weights[bias + o], weight = at + o * each;
          for (let i = 0; i < inputs; i++) {
            for (let row = 0; row < kernel; row++) {
              const start = (i * size + y + row) * size + x;
              for (let column = 0; column < kernel; column++) sum += planes[start + column] * weights[weight++];
            }
          }
          const place = (o * half + (y >> 1)) * half + (x >> 1);
          pooled[place] = Math.max(pooled[place], sum);  // it begins at 0, which is the ReLU
        }
      }
    }
    [planes, size, at] = [pooled, half, bias + outputs];
  }
  return concepts.map((_, k) => {
    const bias = weights[at + concepts.length * planes.length + k];
    const logit = planes.reduce((sum, feature, i) => sum + feature * weights[at + k * planes.length + i], bias);
    return 1 / (1 + Math.exp(-logit));
  });
}

// The score: the product, or that of an expression, as zoofuse.data.joins has it.
function joined(p) {
  const times = (all, value) => all * value, plus = (all, value) => all + value;
  if (!model.join) return p.reduce(times, 1);
  const {clauses, combine, rows} = model.join;
  if (combine === "product") return rows.map(row => row.map((shown, k) => shown ? p[k] : 1 - p[k]).reduce(times, 1)).reduce(plus, 0);
  const parts = clauses.map(clause => clause.map(k => k > 0 ? p[k - 1] : 1 - p[-k - 1]));
  if (combine === "minimum") return Math.min(...parts.map(part => Math.max(...part)));
  return Math.max(0, parts.map(part => Math.min(1, part.reduce(plus, 0))).reduce(plus, 0) - parts.length + 1);
}

function made(tag, properties) { return Object.assign(document.createElement(tag), properties); }

async function score(file) {
  const item = made("li"), name = made("span", {textContent: file.name.replace(/\p{C}/gu, "\ufffd")});
  dropped.prepend(item);
  try {
    const image = await createImageBitmap(file), {width, height} = image;
    const canvas = made("canvas"), context = canvas.getContext("2d", {alpha: false, willReadFrequently: true});
    const paint = (width, height) => {
      Object.assign(canvas, {width, height});
      context.fillStyle = "white";
      context.fillRect(0, 0, width, height);
      context.drawImage(image, 0, 0, width, height);
    };
    paint(width, height);
    const across = resized(context.getImageData(0, 0, width, height).data, 4, width, height, model.size);
    const probabilities = predictedOf(resized(across, 3, height, model.size, model.size));
    const product = joined(probabilities);
    const scale = Math.min(1, 112 / Math.max(width, height));
    paint(Math.max(1, Math.round(width * scale)), Math.max(1, Math.round(height * scale)));
    image.close();
    item.dataset.score = product;
    item.classList.toggle("yes", product >= current);
    const words = model.concepts.map((concept, k) => `${concept} ${probabilities[k].toFixed(4)}`).join(", ");
    item.append(canvas, made("b", {textContent: product.toFixed(4)}), name, made("span", {textContent: words}));
  } catch (error) {
    item.append(made("i", {className: "gone", textContent: `Can't be read by this browser: ${error.message}`}), name);
  }
  for (const span of item.querySelectorAll("span")) span.title = span.textContent;
}

async function scoreAll(files) { for (const file of [...files]) await score(file); }

byId("files").addEventListener("change", event => scoreAll(event.target.files));
document.addEventListener("dragover", event => event.preventDefault());
document.addEventListener("drop", event => {
  event.preventDefault();
  if (model.channels.length) scoreAll(event.dataTransfer.files);
});
byId("own").hidden = !model.channels.length;
