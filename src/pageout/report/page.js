// Draws the page's charts, one after the other, each into its figure. Nothing is fetched; no text becomes code or markup.
const page = JSON.parse(document.getElementById("charts").textContent);

// The inverse of page.py's _packed: columns become rows again.
function unpacked(spec) {
  if (Array.isArray(spec)) return spec.map(unpacked);
  if (spec === null || typeof spec !== "object") return spec;
  if (spec.columns) {
    const names = Object.keys(spec.columns);
    return { values: spec.columns[names[0]].map((_, n) => Object.fromEntries(names.map((name) => [name, spec.columns[name][n]]))) };
  }
  return Object.fromEntries(Object.entries(spec).map(([name, value]) => [name, unpacked(value)]));
}

async function drawAll() {
  let drawn = 0;
  for (const place of document.querySelectorAll("[data-chart]")) {
    const spec = { ...unpacked(page.charts[Number(place.dataset.chart)]), config: page.config };
    try {
      await vegaEmbed(place, spec, { ast: true, renderer: "svg", actions: false, mode: "vega-lite" });
      drawn += 1;
    } catch (error) {
      place.textContent = "This chart could not be drawn: " + error.message;
    }
    await new Promise((next) => setTimeout(next));
  }
  document.documentElement.dataset.drawn = String(drawn);
}

drawAll();
