
for (const section of document.querySelectorAll("section.zoo")) {
  const data = once(async () => JSON.parse(await unpack(section.querySelector("script.data"))));
  for (const place of section.querySelectorAll("[data-plot]")) visible(place, async () => draw(place, (await data())[place.dataset.plot]));
}
