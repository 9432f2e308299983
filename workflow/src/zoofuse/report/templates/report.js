// Tabs: a choice, then as many panels, of which one is shown.
for (const tabs of document.querySelectorAll(".tabs")) {
  const [choice, ...panels] = tabs.children;
  choice.addEventListener("change", ({target}) => {
    panels.forEach((panel, i) => { panel.hidden = i !== Number(target.value); });
    dispatchEvent(new Event("resize"));  // the window may have another width than when the panel was last shown
  });
}

// Test images: a scatter plot whose marks show their image, and a gallery of correct and wrong predictions.
const lookAt = (form, figures, shown) => {
  const [plot, card, gallery, more, status] = [".plot", ".card", ".gallery", "[data-more]", "[data-count]"].map(name => form.querySelector(name));
  const chosen = name => Number(form.elements[name]?.value ?? 0), count = shown.positive.length, sheet = `sheet-${form.dataset.fusion}`;
  const percent = (i, n) => n > 1 ? 100 * i / (n - 1) : 0;
  let at = -1, byKey = false;  // a pointer that rests over a mark does not take the image back from the keys
  document.head.append(make("style", {textContent: `.${sheet} { background-image: url(${shown.sheet}); background-size: ${shown.columns * 100}% ${shown.rows * 100}%; }`}));
  const predicted = i => shown.predictions[chosen("clusterer")]?.[chosen("cnn")][i];
  const correct = i => predicted(i) === shown.positive[i];
  const about = i => [shown.groups[i], shown.positive[i] ? "positive" : "negative",
    ...(predicted(i) === undefined ? [] : [`predicted ${predicted(i) ? "positive" : "negative"}, ${correct(i) ? "correct" : "wrong"}`]),
    `${shown.validation[i] ? "validation" : "test"} image ${shown.test_images[i]}`];
  const thumb = i => make("span", {className: `thumb ${sheet}`, role: "img", ariaLabel: about(i).join(", "),
    style: `background-position: ${percent(i % shown.columns, shown.columns)}% ${percent(Math.floor(i / shown.columns), shown.rows)}%`});
  const show = i => {
    at = i;
    const [group, ...lines] = about(i), [x, y] = shown.points[chosen("cnn")][chosen("embedding")][i];
    card.replaceChildren(thumb(i), make("div", {}, make("p", {}, make("strong", {textContent: group})), ...lines.map(textContent => make("p", {textContent}))));
    window.Plotly.restyle(plot, {x: [[x]], y: [[y]]}, [plot.data.length - 1]);
  };
  const place = async () => {
    const mark = chosen("marks") ? 1 + chosen("clusterer") : 0, marks = 1 + shown.clusterers.length;
    await draw(plot, figures[shown.first + (chosen("cnn") * shown.embeddings.length + chosen("embedding")) * marks + mark]);
    if (at >= 0) show(at);
  };
  const start = async () => {
    await place();
    for (const event of ["plotly_hover", "plotly_click"]) plot.on(event, ({points: [point]}) => { if (!byKey && point.customdata !== undefined) show(point.customdata); });
    for (const event of ["pointermove", "pointerdown"]) plot.addEventListener(event, () => { byKey = false; });
    plot.addEventListener("focus", () => { if (at < 0) show(0); });
    plot.addEventListener("keydown", event => {
      const step = {ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1}[event.key];
      if (!step) return;
      event.preventDefault();
      byKey = true;
      show((at + step + count) % count);
    });
  };
  const list = (limit = 120) => {
    const [outcome, half, group] = ["outcome", "half", "group"].map(chosen);
    const matching = shown.positive.map((_, i) => i).filter(i => (half === 2 || half === shown.validation[i])
      && (!group || shown.groups[i] === shown.group_names[group - 1]) && (!outcome || predicted(i) === undefined || correct(i) === (outcome === 1)));
    gallery.replaceChildren(...matching.slice(0, limit).map(i => make("li", {className: correct(i) ? "correct" : "wrong"}, thumb(i),
      make("strong", {textContent: predicted(i) === undefined ? "" : correct(i) ? "✓ correct" : "✗ wrong"}), make("br"), shown.groups[i])));
    status.textContent = `${grouped(matching.length)} of ${grouped(count)} images` + (shown.total > count ? ` (evenly spaced among ${grouped(shown.total)})` : "");
    more.hidden = matching.length <= limit;
  };
  form.addEventListener("change", ({target}) => {
    if (!["outcome", "half", "group"].includes(target.name) && drawn.has(plot)) place();
    list();
  });
  more.addEventListener("click", () => list(Infinity));
  list();
  visible(plot, start);
};

for (const section of document.querySelectorAll("section.fusion")) {
  const data = once(async () => JSON.parse(await unpack(section.querySelector("script.data"))));
  data().then(({figures}) => {  // room for figures that are drawn later, so that nothing moves under a reader's pointer
    for (const place of section.querySelectorAll("[data-plot]")) place.style.minHeight = `${figures[place.dataset.plot].layout.height}px`;
  });
  for (const place of section.querySelectorAll("[data-plot]")) visible(place, async () => draw(place, (await data()).figures[place.dataset.plot]));
  const form = document.querySelector(`.test-images[data-fusion=${section.id}]`);
  if (form) data().then(({figures, shown}) => lookAt(form, figures, shown));
}

// Tables: sorted, filtered and paged by DataTables once they come near the window.
const ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;"};
const escaped = text => String(text).replace(/[&<>"']/g, sign => ENTITIES[sign]);
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
  const chooser = i => {
    const name = heads[i].dataset.name.replaceAll("_", " "), values = [...new Set(words.map(row => row[i]))].filter(value => value !== null).sort();
    const option = text => make("option", {textContent: text.length > 100 ? `${text.slice(0, 70)}…${text.slice(-30)}` : text});
    const select = make("select", {ariaLabel: name}, ...["all", ...values].map(option));
    // By place, as one of the names may be empty, or equal to another one but for blanks.
    select.addEventListener("change", () => table.column(i).search.fixed("choice", select.selectedIndex ? (_, row, at) => words[at][i] === values[select.selectedIndex - 1] : null).draw());
    return make("label", {}, name, select);
  };
  const region = box.querySelector(".scroll");
  region.classList.remove("scroll");
  for (const name of ["tabindex", "role", "aria-label"]) region.removeAttribute(name);
  const table = jQuery(element).DataTable({
    data, columns, deferRender: true, autoWidth: false, pageLength: 25, paging: paged, searching: true, info: long,
    order: box.dataset.order === undefined ? [] : [[Number(box.dataset.order), "desc"]],
    language: {search: "Filter", info: "_START_ to _END_ of _TOTAL_ rows", infoFiltered: "(of _MAX_)", infoEmpty: "no rows", zeroRecords: "No row matches."},
    layout: {topStart: long ? "search" : null, topEnd: null, bottomStart: long ? "info" : null, bottomEnd: paged ? "paging" : null}});
  if (long) region.querySelector(".dt-search").after(make("div", {className: "filters"}, ...heads.flatMap((th, i) => th.dataset.choice === undefined ? [] : [chooser(i)])));
  const cell = element.closest(".dt-layout-cell");
  cell.tabIndex = 0;
  cell.setAttribute("role", "region");
  cell.setAttribute("aria-label", element.caption.textContent);
  region.querySelector(".dt-info")?.setAttribute("role", "status");
};
for (const box of document.querySelectorAll(".table")) {
  const build = once(() => enhance(box));
  visible(box, build);
  box.closest("details")?.addEventListener("toggle", build);  // figures that are drawn later may have moved it away
}
