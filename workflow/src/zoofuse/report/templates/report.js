"use strict";
// Everything the page needs lies in it as base64 of gzip.
const unpack = async element => {
  const bytes = Uint8Array.from(atob(element.textContent), c => c.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
};
// Script elements whose texts the page's policy knows by their hashes.
const run = async (name, type) =>
  document.head.append(make("script", {type, textContent: await unpack(document.getElementById(`library-${name}`))}));
const once = make => { let made; return () => made ??= make(); };
const plotly = once(async () => { await run("plotly", "text/javascript"); return window.Plotly; });
// A module that has run tells so by the event which the report adds to its end; a classic script runs at once.
const datatables = once(() => new Promise((done, failed) => {
  document.addEventListener("datatables", ({detail}) => done(detail), {once: true});
  run("datatables", "module").catch(failed);
}));
const visible = (element, act) => new IntersectionObserver((seen, observer) => {
  if (seen.some(entry => entry.isIntersecting)) { observer.disconnect(); act(); }
}, {rootMargin: "500px"}).observe(element);
const make = (tag, properties = {}, ...children) => {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
};
// Names from outside: in HTML, and in Plotly's texts, which take some tags and entities for what they are in HTML.
const ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;"};
const escaped = text => String(text).replace(/[&<>"']/g, sign => ENTITIES[sign]);
const short = (text, most) => {
  const signs = [...String(text)];
  return signs.length <= most ? String(text) : `${signs.slice(0, Math.ceil(.7 * most)).join("")}…${signs.slice(-Math.floor(.3 * most)).join("")}`;
};
const inFigure = (text, most = 60) => escaped(short(text, most));
const fixed = (value, places = 3) => value.toLocaleString("en-GB", {minimumFractionDigits: places, maximumFractionDigits: places});

// Dark and light: as the system says, until the button says otherwise.
const root = document.documentElement, button = document.getElementById("theme"), redraw = [];
const dark = matchMedia("(prefers-color-scheme: dark)");
const theme = name => {
  root.dataset.theme = name;
  button.setAttribute("aria-pressed", name === "dark");
  for (const draw of redraw) draw();
};
button.hidden = false;
button.addEventListener("click", () => theme(root.dataset.theme === "dark" ? "light" : "dark"));
dark.addEventListener("change", () => theme(dark.matches ? "dark" : "light"));
theme(dark.matches ? "dark" : "light");
const colour = name => {
  const probe = document.body.appendChild(make("i", {style: `color: var(--${name}); display: none`}));
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
};
const palette = () => Object.fromEntries(
  ["paper", "ink", "quiet", "rule", "generated", "baseline", "published", "foreign", "non-CNN", "second", "third"].map(name => [name, colour(name)]));

// Choices of one thing among few: radio buttons for the first question, menus for the rest.
const radios = (legend, options, chosen, act) => {
  const name = `choice${radios.count = (radios.count ?? 0) + 1}`, field = make("fieldset", {}, make("legend", {textContent: legend}));
  for (const [value, text] of options) {
    const input = make("input", {type: "radio", name, value, checked: value === chosen});
    input.addEventListener("change", () => act(value));
    field.append(make("label", {}, input, make("span", {textContent: text})));
  }
  return field;
};
const menu = (text, options, chosen, act) => {
  // By place, as one of the names may be empty, or equal to another one but for blanks.
  const select = make("select", {}, ...options.map(([value, label], i) => make("option", {value: i, textContent: short(label, 100), selected: value === chosen})));
  select.addEventListener("change", () => act(options[select.selectedIndex][0]));
  select.ariaLabel = text;
  return make("label", {}, text, select);
};
const unique = list => [...new Set(list)];

const layout = (c, more) => ({
  paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: {color: c.ink, size: 13, family: getComputedStyle(document.body).fontFamily}, showlegend: false,
  margin: {l: 8, r: 12, t: 8, b: 44}, hoverlabel: {bgcolor: c.paper, bordercolor: c.quiet, font: {color: c.ink, size: 12}, align: "left"},
  dragmode: false, ...more});
const axis = (c, more) => ({gridcolor: c.rule, zerolinecolor: c.rule, linecolor: c.rule, tickfont: {color: c.quiet}, fixedrange: true, ...more});
const config = {displayModeBar: false, responsive: true, typesetMath: false};

// The first figure: a row for each method, with its distribution, quartiles, median and selected CNN.
const CAPTIONS = {
  held_out: "Height: how many CNNs lie there. Bar: the middle half; white dot: the median. Diamond: the CNN selected on the validation half, with its 95 % interval over test photographs.",
  zero_shot: "Bar: the middle half of the CNNs; white dot: the median. Diamond: the CNN selected on the concepts' own validation images, with its 95 % interval over test photographs.",
  published: "Transductive. Height: how many CNNs lie there. Bar: the middle half; white dot: the median. Diamond: the maximum, selected on the images it is measured on. Published: the CNNs its authors printed, on their own 89 photographs; compare with always “no” there (0.618).",
};
const drawMethods = async (place, view) => {
  const Plotly = await plotly(), c = palette(), traces = [], notes = [], shapes = [];
  const flat = {hoverinfo: "skip", type: "scatter"};
  view.rows.forEach((row, i) => {
    const y = -i, tint = c[row.role];
    notes.push({xref: "paper", x: 0, y: y + .49, yanchor: "top", xanchor: "left", showarrow: false, align: "left",
      text: `<b>${inFigure(row.label)}</b>  <span style="color:${c.quiet}">${row.n > 1 ? `n = ${row.n.toLocaleString("en-GB")}` : ""}</span>`, font: {size: 12, color: c.ink}});
    if (row.shape.length) {
      const step = (row.high - row.low) / row.shape.length, x = row.shape.map((_, k) => row.low + (k + .5) * step);
      traces.push({...flat, x: [x[0], ...x, x.at(-1)], y: [y - .4, ...row.shape.map(v => y - .4 + .56 * v), y - .4], mode: "lines", fill: "toself",
        line: {color: tint, width: 1, shape: "linear"}, fillcolor: tint.replace("rgb(", "rgba(").replace(")", ", .25)")});
    }
    if (row.dots.length) traces.push({...flat, x: row.dots, y: row.dots.map((_, k) => y - .36 + .2 * (k * .618 % 1)), mode: "markers", marker: {color: tint, size: 4, opacity: .55}});
    if (row.n > 1) traces.push({...flat, x: [row.q25, row.q75], y: [y - .4, y - .4], mode: "lines", line: {color: tint, width: 7}});
    const lines = [`<b>${inFigure(row.label)}</b>`, row.n > 1 ? `median ${fixed(row.median)}, middle half ${fixed(row.q25)} to ${fixed(row.q75)}` : fixed(row.median)];
    const s = row.selected;
    if (s && row.n > 1) lines.push(`${s.how}: ${s.name && `${inFigure(s.name)}, `}${fixed(s.value)}` + (s.low === null ? "" : ` (${fixed(s.low)} to ${fixed(s.high)})`));
    else if (s && s.low !== null) lines.push(`interval ${fixed(s.low)} to ${fixed(s.high)}`);
    if (row.note) lines.push(inFigure(row.note, 120));
    const hover = {hoverinfo: "text", hovertext: lines.join("<br>"), type: "scatter", mode: "markers"};
    if (s) traces.push({...hover, x: [s.value], y: [y - .12], marker: {symbol: "diamond", size: 10, color: tint, line: {color: c.paper, width: 1}},
      ...(s.low === null ? {} : {error_x: {type: "data", symmetric: false, array: [s.high - s.value], arrayminus: [s.value - s.low], color: tint, thickness: 1.6, width: 4}})});
    if (row.n > 1) traces.push({...hover, x: [row.median], y: [y - .4], marker: {symbol: "circle", size: 9, color: "#fff", line: {color: "#1f2328", width: 2}}});
  });
  const low = Math.min(view.line, ...view.rows.map(row => Math.min(row.low ?? row.q25, row.selected?.low ?? row.median)));
  const high = Math.max(view.line, ...view.rows.map(row => Math.max(row.high ?? row.q75, row.selected?.high ?? row.selected?.value ?? row.median)));
  shapes.push({type: "line", x0: view.line, x1: view.line, yref: "paper", y0: 0, y1: 1, line: {color: c.ink, width: 1, dash: "dash"}, layer: "below"});
  notes.push({x: view.line, xanchor: view.line - low < .15 * (high - low) ? "left" : "center", yref: "paper", y: 1, yanchor: "bottom", showarrow: false, text: `${escaped(view.line_label)} ${fixed(view.line)}`, font: {size: 11, color: c.quiet}});
  const height = Math.max(220, 74 + 50 * view.rows.length);
  place.style.height = `${height}px`;
  await Plotly.react(place, traces, layout(c, {height, annotations: notes, shapes, hovermode: "closest", margin: {l: 8, r: 12, t: 24, b: 46},
    xaxis: axis(c, {range: [low - .02 * (high - low), Math.min(1.005, high + .02 * (high - low))], title: {text: escaped(view.axis), font: {size: 13}}, zeroline: false}),
    yaxis: axis(c, {range: [-view.rows.length + .4, .6], showticklabels: false, showgrid: false, zeroline: false})}), config);
};
const drawDifferences = async (place, rows) => {
  const Plotly = await plotly(), c = palette();
  const sign = {better: "generated", worse: "published"};
  const text = row => `${inFigure(row.baseline)}: ${row.difference > 0 ? "+" : ""}${fixed(row.difference)} (${fixed(row.low)} to ${fixed(row.high)})<br>${escaped(row.verdict)}`;
  const traces = rows.map((row, i) => ({
    type: "scatter", mode: "markers", x: [row.difference], y: [-i - .12], hoverinfo: "text", hovertext: text(row),
    marker: {symbol: row.verdict === "better" ? "triangle-right" : row.verdict === "worse" ? "triangle-left" : "circle-open", size: 11,
      color: c[sign[row.verdict] ?? "baseline"], line: {width: 2, color: c[sign[row.verdict] ?? "baseline"]}},
    error_x: {type: "data", symmetric: false, array: [row.high - row.difference], arrayminus: [row.difference - row.low], thickness: 1.8, width: 4, color: c[sign[row.verdict] ?? "baseline"]}}));
  const notes = rows.map((row, i) => ({xref: "paper", x: 0, xanchor: "left", y: -i + .46, yanchor: "top", showarrow: false, font: {size: 12, color: c.ink},
    text: `${inFigure(row.method, 40)} − <b>${inFigure(row.baseline, 40)}</b>  <span style="color:${c.quiet}">${escaped(row.verdict)}</span>`}));
  const end = 1.08 * Math.max(.05, ...rows.flatMap(row => [Math.abs(row.low), Math.abs(row.high)]));
  const height = Math.max(160, 60 + 42 * rows.length);
  place.style.height = `${height}px`;
  await Plotly.react(place, traces, layout(c, {height, annotations: notes, hovermode: "closest",
    shapes: [{type: "line", x0: 0, x1: 0, yref: "paper", y0: 0, y1: 1, line: {color: c.ink, width: 1}, layer: "below"}],
    xaxis: axis(c, {range: [-end, end], title: {text: rows[0].protocol === "zero_shot" ? "difference of AUROC" : "difference of balanced accuracy", font: {size: 13}}}),
    yaxis: axis(c, {range: [-rows.length + .4, .6], showticklabels: false, showgrid: false, zeroline: false})}), config);
};
const explore = (box, data) => {
  const choices = box.querySelector("[data-choices]"), caption = box.querySelector("[data-caption]");
  const against = box.querySelector("[data-against]"), compare = box.querySelector("[data-compare]");
  const [methods, differences] = ["methods", "differences"].map(name => box.querySelector(`[data-plot=${name}]`));
  let {protocol, name} = data.views[0], what = "median", method;
  const draw = async () => {
    const view = data.views.find(v => v.protocol === protocol && v.name === name);
    caption.textContent = CAPTIONS[protocol];
    await drawMethods(methods, view);
    if (!differences) return;
    const rows = data.differences.filter(d => d.protocol === protocol && d.name === name && d.what === what && d.method === method);
    against.hidden = !data.differences.some(d => d.protocol === protocol);
    if (rows.length) await drawDifferences(differences, rows);
  };
  const ask = () => {
    const views = data.views.filter(v => v.protocol === protocol);
    if (!views.some(v => v.name === name)) name = views[0].name;
    const here = data.differences.filter(d => d.protocol === protocol), generating = unique(here.map(d => d.method));
    const focused = choices.contains(document.activeElement) ? document.activeElement.value : null;
    choices.replaceChildren(
      radios("Protocol", unique(data.views.map(v => v.protocol)).map(p => [p, data.protocols[p]]), protocol, value => { protocol = value; ask(); }),
      radios(protocol === "zero_shot" ? "Heads" : "Clusterer", views.map(v => [v.name, v.label]), name, value => { name = value; draw(); }));
    method = generating.includes(method) ? method : generating[0];
    compare?.replaceChildren(menu("Compare", [["median", "medians over CNNs"], ["selected", "the selected CNNs"]], what, value => { what = value; draw(); }));
    if (generating.length > 1) compare.append(menu("Generated by", generating.map(g => [g, g]), method, value => { method = value; draw(); }));
    if (focused) [...choices.querySelectorAll("input")].find(input => input.value === focused)?.focus();
    draw();
  };
  box.hidden = false;
  ask();
  redraw.push(draw);
};

// The test images: a scatter of the embedding, and a gallery of answers.
const SIGNS = ["square-open", "diamond-open", "triangle-up-open", "cross-thin-open", "triangle-down-open", "pentagon-open", "star-open", "hexagon-open"];
const lookAt = (box, data) => {
  const {shown} = data, count = shown.positive.length, clusterers = Object.entries(shown.answers).map(([key, {label}]) => [key, label]);
  const choices = box.querySelector("[data-choices]"), filters = box.querySelector("[data-filters]"), plot = box.querySelector("[data-plot]");
  const card = box.querySelector(".card"), gallery = box.querySelector(".gallery"), more = box.querySelector("[data-more]");
  const status = box.querySelector("[data-count]"), all = [...Array(count).keys()];
  const state = {cnn: 0, embedding: Object.keys(shown.embeddings)[0], colours: "groups", clusterer: clusterers[0]?.[0], answer: "wrong", group: "", part: "test", at: -1};
  const sheet = `sheet${lookAt.count = (lookAt.count ?? 0) + 1}`;
  document.head.append(make("style", {textContent: `.${sheet} { background-image: url(${shown.sheet}); background-size: ${shown.columns * 100}% ${shown.rows * 100}%; }`}));
  const thumb = i => make("span", {className: `thumb ${sheet}`, role: "img", ariaLabel: about(i).join(", "), style: `background-position: ${100 * (i % shown.columns) / (shown.columns - 1)}% ${shown.rows > 1 ? 100 * Math.floor(i / shown.columns) / (shown.rows - 1) : 0}%`});
  const answer = i => shown.answers[state.clusterer]?.values[state.cnn][i];
  const right = i => answer(i) === shown.positive[i];
  const about = i => [shown.groups[i], shown.positive[i] ? "positive" : "negative",
    ...(answer(i) === undefined ? [] : [`answered ${answer(i) ? "positive" : "negative"}, ${right(i) ? "right" : "wrong"}`]),
    `${shown.validation[i] ? "validation" : "test"} image ${shown.test_images[i]}`];

  const show = i => {
    state.at = i;
    card.replaceChildren(thumb(i), make("div", {}, make("p", {}, make("strong", {textContent: shown.groups[i]})), ...about(i).slice(1).map(textContent => make("p", {textContent}))));
    const [x, y] = shown.embeddings[state.embedding][state.cnn][i];
    window.Plotly.restyle(plot, {x: [[x]], y: [[y]]}, [plot.data.length - 1]);
  };
  const groups = () => {
    const others = unique(all.filter(i => !shown.positive[i]).map(i => shown.groups[i]));
    const size = group => all.filter(i => !shown.positive[i] && shown.groups[i] === group).length;
    const named = others.sort((a, b) => size(b) - size(a)).slice(0, others.length > 8 ? 7 : 8);
    const parts = [["positive", all.filter(i => shown.positive[i]), "circle", "generated"]];
    named.forEach((group, k) => parts.push([group, all.filter(i => !shown.positive[i] && shown.groups[i] === group), SIGNS[k], ["published", "baseline", "non-CNN", "third"][k % 4]]));
    const rest = all.filter(i => !shown.positive[i] && !named.includes(shown.groups[i]));
    if (rest.length) parts.push(["other groups", rest, "circle-open", "baseline"]);
    return parts;
  };
  const answers = () => [
    ["positive, right", all.filter(i => shown.positive[i] && right(i)), "circle", "generated"], ["positive, wrong", all.filter(i => shown.positive[i] && !right(i)), "x", "generated"],
    ["negative, right", all.filter(i => !shown.positive[i] && right(i)), "circle-open", "published"], ["negative, wrong", all.filter(i => !shown.positive[i] && !right(i)), "x", "published"]];
  const draw = async () => {
    const Plotly = await plotly(), c = palette(), points = shown.embeddings[state.embedding][state.cnn];
    const traces = (state.colours === "groups" ? groups() : answers()).filter(([, members]) => members.length).map(([name, members, symbol, tint]) => ({
      type: "scatter", mode: "markers", name: `${inFigure(name, 40)} (${members.length})`, x: members.map(i => points[i][0]), y: members.map(i => points[i][1]), customdata: members,
      hoverinfo: "none", marker: {symbol, color: c[tint], size: 9, line: {width: symbol.endsWith("open") ? 1.6 : .6, color: symbol.endsWith("open") ? c[tint] : c.paper}}}));
    traces.push({type: "scatter", mode: "markers", x: [], y: [], hoverinfo: "skip", showlegend: false, marker: {symbol: "circle-open", size: 20, color: c.ink, line: {width: 2.5, color: c.ink}}});
    const bare = {showgrid: false, zeroline: false, showticklabels: false, mirror: true, showline: true};
    await Plotly.react(plot, traces, layout(c, {showlegend: true, hovermode: "closest", hoverdistance: 25, margin: {l: 2, r: 2, t: 2, b: 2}, uirevision: state.embedding,
      legend: {orientation: "h", y: -.02, font: {size: 12, color: c.ink}, bgcolor: "rgba(0,0,0,0)", itemclick: false, itemdoubleclick: false}, xaxis: axis(c, bare), yaxis: axis(c, bare)}), config);
    if (!plot.dataset.listening) {
      plot.dataset.listening = true;
      for (const event of ["plotly_hover", "plotly_click"]) plot.on(event, ({points: [point]}) => { if (!byKey && point.customdata !== undefined) show(point.customdata); });
    }
    if (state.at >= 0) show(state.at);
  };
  let byKey = false;  // a pointer that lies still over a mark does not take the image back
  plot.addEventListener("pointermove", () => { byKey = false; });
  plot.addEventListener("pointerdown", () => { byKey = false; });
  plot.addEventListener("keydown", event => {
    const step = {ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1}[event.key];
    if (!step) return;
    event.preventDefault();
    byKey = true;
    show((state.at + step + count) % count);
  });
  plot.addEventListener("focus", () => { if (state.at < 0 && window.Plotly && plot.data) show(0); });

  const FIRST = 120;
  const list = (limit = FIRST) => {
    const found = all.filter(i => (!state.part || state.part === (shown.validation[i] ? "validation" : "test")) && (!state.group || shown.groups[i] === state.group)
      && (!state.answer || answer(i) === undefined || state.answer === (right(i) ? "right" : "wrong")));
    gallery.replaceChildren(...found.slice(0, limit).map(i => make("li", {className: right(i) ? "right" : "wrong"}, thumb(i),
      make("strong", {textContent: answer(i) === undefined ? "" : right(i) ? "✓ right" : "✗ wrong"}), make("br"), shown.groups[i])));
    status.textContent = `${found.length.toLocaleString("en-GB")} of ${count.toLocaleString("en-GB")} images` + (shown.total > count ? ` (evenly spaced among ${shown.total.toLocaleString("en-GB")})` : "");
    more.hidden = found.length <= limit;
  };
  const act = (key, ...then) => value => { state[key] = key === "cnn" ? Number(value) : value; for (const f of then) f(); };
  choices.append(menu("CNN", shown.cnns.map((name, i) => [String(i), name]), "0", act("cnn", draw, list)),
    radios("Placed by", Object.keys(shown.embeddings).map(name => [name, name]), state.embedding, act("embedding", draw)));
  if (clusterers.length) choices.append(radios("Marked by", [["groups", "what it is"], ["answers", "the answer"]], "groups", act("colours", draw)),
    menu("Answers of", clusterers, state.clusterer, act("clusterer", draw, list)));
  filters.append(radios("Answers", [["", "all"], ["right", "right"], ["wrong", "wrong"]], "wrong", act("answer", list)),
    radios("Of", [["test", "test"], ["validation", "validation"], ["", "both"]], "test", act("part", list)),
    menu("Group", [["", "all"], ...unique(shown.groups).sort().map(group => [group, group])], "", act("group", list)));
  more.addEventListener("click", () => list(Infinity));
  box.hidden = false;
  list();
  visible(plot, draw);
  redraw.push(() => { if (plot.data) draw(); });
};

for (const section of document.querySelectorAll("section.fusion")) {
  unpack(section.querySelector("script.data")).then(JSON.parse).then(data => {
    const box = section.querySelector(".explorer"), testImages = document.querySelector(`.test-images[data-fusion=${section.id}]`);
    if (box) explore(box, data);
    if (testImages) lookAt(testImages, data);
  });
}

// Tables: sorted, filtered and paged by DataTables once they come near the window.
const enhance = async box => {
  const element = box.querySelector("table"), store = box.querySelector("script[type='text/plain']"), heads = [...element.querySelectorAll("thead th")];
  const jQuery = await datatables(), data = store ? JSON.parse(await unpack(store)) : undefined;
  const digits = heads.map(th => th.dataset.digits === undefined ? null : Number(th.dataset.digits));
  const count = (data ?? element.tBodies[0].rows).length, long = count > 8, paged = count > 30;
  // DataTables put what they show and what they search into elements as HTML.
  const show = places => (value, type) => type !== "display" && type !== "filter" ? value : value === null ? (type === "display" ? "–" : "") : places === null ? escaped(value)
    : type === "filter" ? String(value) : value.toLocaleString("en-GB", {minimumFractionDigits: places, maximumFractionDigits: places, useGrouping: "min2"});
  // Words are looked for among names and indices, not among scores.
  const columns = heads.map((th, i) => ({searchable: digits[i] === null || th.dataset.name === "model", className: digits[i] === null ? "" : "number",
    orderSequence: digits[i] === 3 ? ["desc", "asc"] : ["asc", "desc"], ...(data ? {render: show(digits[i]), type: digits[i] === null ? "string" : "num"} : {})}));
  // As they are, not as DataTables keep them: row after row, which is how DataTables count them too.
  const words = data ?? [...element.tBodies[0].rows].map(row => [...row.cells].map(cell => cell.textContent));
  const choosers = () => {
    const row = make("div", {className: "filters"});
    heads.forEach((th, i) => {
      if (th.dataset.choice === undefined) return;
      const values = unique(words.map(row => row[i])).filter(value => value !== null).sort();
      row.append(menu(th.dataset.name.replaceAll("_", " "), [[null, "all"], ...values.map(value => [value, value])], null,
        chosen => table.column(i).search.fixed("choice", chosen === null ? null : (_, row, at) => words[at][i] === chosen).draw()));
    });
    return row;
  };
  box.querySelector(".scroll").classList.remove("scroll");
  const region = box.querySelector("[role=region]");
  for (const name of ["tabindex", "role", "aria-label"]) region.removeAttribute(name);
  const table = jQuery(element).DataTable({
    data, columns, deferRender: true, autoWidth: false, pageLength: 25, paging: paged, searching: true, info: long,
    order: box.dataset.order === undefined ? [] : [[Number(box.dataset.order), "desc"]],
    language: {search: "Filter", info: "_START_ to _END_ of _TOTAL_ rows", infoFiltered: "(of _MAX_)", infoEmpty: "no rows", zeroRecords: "No row fits."},
    layout: {topStart: long ? "search" : null, topEnd: null, bottomStart: long ? "info" : null, bottomEnd: paged ? "paging" : null}});
  if (long) region.querySelector(".dt-search").after(choosers());
  const cell = element.closest(".dt-layout-cell");
  cell.tabIndex = 0;
  cell.setAttribute("role", "region");
  cell.setAttribute("aria-label", element.caption.textContent);
  region.querySelector(".dt-info")?.setAttribute("role", "status");
};
for (const box of document.querySelectorAll(".table")) visible(box, () => enhance(box));
