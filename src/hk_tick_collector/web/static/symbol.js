// Draws the candles of the Symbol view, and its tables, from the frames of the stream. Times are those of Hong Kong.

const body = document.body;
const place = document.getElementById("chart");
const atCursor = document.getElementById("at-cursor");
const ticksBody = document.getElementById("ticks");
const minutesBody = document.getElementById("minutes");
const MOST_TICKS = 60;
const MOST_SPAN_S = 86400;
const words = place ? JSON.parse(place.dataset.words) : {};
const number = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const price = new Intl.NumberFormat("en", { minimumFractionDigits: 3, maximumFractionDigits: 3 });
let bars = new Map(); // seconds → [seconds, open, high, low, close, shares, buy, sell, trades]
let spans = [];
let chart = null;
let series = null;
let fresh = true; // the chart has not shown this symbol and day yet
let cursor = null;

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function clock(seconds) {
  return new Date(seconds * 1000).toISOString().slice(11, 16);
}

function make() {
  const library = window.LightweightCharts;
  if (!place || !library) {
    if (place) {
      place.classList.add("note");
      place.textContent = place.dataset.none;
    }
    return;
  }
  chart = library.createChart(place, {
    autoSize: true,
    layout: { attributionLogo: false }, // it would insert an inline style; the page names TradingView in words
    localization: { locale: "en", timeFormatter: clock },
    timeScale: { timeVisible: true, secondsVisible: false, tickMarkFormatter: clock, minBarSpacing: 0.4 },
    handleScroll: { vertTouchDrag: false },
  });
  // The first series lies lowest: gaps and outages behind everything, over the whole height.
  const flat = { priceLineVisible: false, lastValueVisible: false };
  const shadow = chart.addSeries(library.HistogramSeries, { ...flat, priceScaleId: "spans" });
  shadow.priceScale().applyOptions({ scaleMargins: { top: 0, bottom: 0 }, visible: false });
  const volumes = ["sell", "neutral", "buy"].map(() =>
    chart.addSeries(library.HistogramSeries, { ...flat, priceScaleId: "volume", priceFormat: { type: "volume" } }),
  );
  volumes[0].priceScale().applyOptions({ scaleMargins: { top: 0.8, bottom: 0 }, visible: false });
  const candles = chart.addSeries(library.CandlestickSeries, { priceFormat: { type: "price", precision: 3, minMove: 0.001 } });
  candles.priceScale().applyOptions({ scaleMargins: { top: 0.06, bottom: 0.24 } });
  series = { shadow, volumes, candles };
  chart.subscribeCrosshairMove((event) => {
    cursor = event.time ?? null;
    say();
  });
  chart.timeScale().subscribeVisibleTimeRangeChange((range) => {
    place.dataset.range = range ? `${clock(range.from)}–${clock(range.to)}` : "";
  });
  paint();
}

/** The colours of the page, whenever light or dark is chosen. */
function paint() {
  if (!chart) return;
  const [ink, soft, line, up, down, flat] = ["--ink", "--soft", "--line", "--up", "--down", "--flat"].map(colour);
  chart.applyOptions({
    layout: { background: { color: "transparent" }, textColor: soft, fontFamily: getComputedStyle(body).fontFamily },
    grid: { vertLines: { color: line }, horzLines: { color: line } },
    timeScale: { borderColor: line },
    rightPriceScale: { borderColor: line },
    crosshair: { vertLine: { color: ink }, horzLine: { color: ink } },
  });
  series.candles.applyOptions({ upColor: up, borderUpColor: up, wickUpColor: up, downColor: down, borderDownColor: down, wickDownColor: down });
  [down, flat, up].forEach((each, index) => series.volumes[index].applyOptions({ color: each }));
  draw();
}

function candle(bar) {
  const [time, open, high, low, close] = bar;
  return open === null ? { time } : { time, open, high, low, close };
}

/** Three columns one in front of the other look like one of three parts: all shares, buys and neither, buys alone. */
function volume(bar, index) {
  const [time, , , , , shares, buy, sell] = bar;
  return { time, value: [shares, shares - sell, buy][index] };
}

function shadows() {
  const found = new Map();
  const layers = { away: "--away", filled: "--filled", open: "--gap" }; // what is worst is written last
  for (const kind of Object.keys(layers)) {
    const paint = colour(layers[kind]);
    for (const [from, to, which] of spans) {
      if (which !== kind) continue;
      const first = Math.floor(from / 60) * 60;
      for (let time = first; time <= Math.min(to, first + MOST_SPAN_S); time += 60) found.set(time, { time, value: 1, color: paint });
    }
  }
  return [...found.values()].sort((one, other) => one.time - other.time);
}

function draw() {
  if (!series) return;
  const ordered = [...bars.values()].sort((one, other) => one[0] - other[0]);
  series.shadow.setData(shadows());
  series.volumes.forEach((each, index) => each.setData(ordered.map((bar) => volume(bar, index))));
  series.candles.setData(ordered.map(candle));
  if (fresh && ordered.length) {
    chart.timeScale().fitContent();
    fresh = false;
  }
}

/** Draws what changed; bars before the last one, which only late ticks change, make everything be drawn again. */
function take(news) {
  if (news.whole) {
    bars = new Map();
    fresh = true;
  }
  const last = Math.max(...bars.keys(), 0);
  for (const bar of news.candles) bars.set(bar[0], bar);
  if (news.spans) spans = news.spans;
  if (news.whole || news.spans || news.candles.some((bar) => bar[0] < last)) {
    draw();
  } else if (series) {
    for (const bar of news.candles) {
      series.volumes.forEach((each, index) => each.update(volume(bar, index)));
      series.candles.update(candle(bar));
    }
  }
}

function say() {
  if (!atCursor) return;
  const bar = bars.get(cursor) ?? bars.get(Math.max(...bars.keys(), 0));
  let text = "";
  if (bar) {
    const [time, open, high, low, close, shares, buy, sell] = bar;
    const prices = open === null ? "" : ` ${words.open} ${price.format(open)} ${words.high} ${price.format(high)} ${words.low} ${price.format(low)} ${words.close} ${price.format(close)}`;
    text = `${clock(time)}${prices} · ${words.shares} ${number.format(shares)} (${words.buy} ${number.format(buy)}, ${words.sell} ${number.format(sell)})`;
  }
  if (atCursor.textContent !== text) atCursor.textContent = text;
}

function cell(row, text, className) {
  const made = row.insertCell();
  made.textContent = text;
  if (className) made.className = className;
}

function tape(news) {
  if (news.whole) ticksBody.replaceChildren();
  const sides = { BUY: [ticksBody.dataset.buy, "up"], SELL: [ticksBody.dataset.sell, "down"], NEUTRAL: [ticksBody.dataset.neutral, ""] };
  for (const [time, paid, shares, direction, type] of news.ticks.slice(-MOST_TICKS)) {
    const row = ticksBody.insertRow(0);
    const [side, className] = sides[direction] ?? [direction, ""];
    cell(row, time);
    cell(row, price.format(paid), "right");
    cell(row, number.format(shares), "right");
    cell(row, side, className);
    cell(row, type);
  }
  while (ticksBody.rows.length > MOST_TICKS) ticksBody.deleteRow(-1);
}

/** The table of minutes is made only while it is open. */
function table() {
  if (!minutesBody.closest("details").open) return;
  const rows = document.createDocumentFragment();
  for (const bar of [...bars.values()].sort((one, other) => other[0] - one[0])) {
    const row = document.createElement("tr");
    cell(row, clock(bar[0]));
    for (const value of bar.slice(1, 5)) cell(row, value === null ? "" : price.format(value), "right");
    for (const value of bar.slice(5, 8)) cell(row, number.format(value), "right");
    rows.append(row);
  }
  minutesBody.replaceChildren(rows);
}

body.addEventListener("frame", (event) => {
  const news = event.detail.chart;
  if (!news) return;
  take(news);
  tape(news);
  if (news.whole || news.candles.length) table();
  say();
});

function zoom(how) {
  if (!chart) return;
  const scale = chart.timeScale();
  const range = scale.getVisibleLogicalRange();
  if (how === "all") scale.fitContent();
  else if (how === "newest") scale.setVisibleLogicalRange({ from: bars.size - 61, to: bars.size + 2 });
  else if (range) {
    const middle = (range.from + range.to) / 2;
    const half = Math.max(4, ((range.to - range.from) / 2) * (how === "in" ? 0.7 : 1.4));
    scale.setVisibleLogicalRange({ from: middle - half, to: middle + half });
  }
}

function move(share) {
  const scale = chart?.timeScale();
  const range = scale?.getVisibleLogicalRange();
  if (!range) return;
  const step = (range.to - range.from) * share;
  scale.setVisibleLogicalRange({ from: range.from + step, to: range.to + step });
}

const keys = {
  "+": () => zoom("in"),
  "=": () => zoom("in"),
  "-": () => zoom("out"),
  ArrowLeft: () => move(-0.1),
  ArrowRight: () => move(0.1),
  Home: () => zoom("all"),
  End: () => zoom("newest"),
};
place?.addEventListener("keydown", (event) => {
  if (!keys[event.key] || event.ctrlKey || event.altKey || event.metaKey) return;
  event.preventDefault();
  keys[event.key]();
});
document.querySelectorAll("[data-zoom]").forEach((button) => button.addEventListener("click", () => zoom(button.dataset.zoom)));
minutesBody?.closest("details").addEventListener("toggle", table);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", paint);

const input = document.getElementById("symbol");
input?.addEventListener(
  "focus",
  async () => {
    const answer = await fetch(`/symbol/list${location.search}`).catch(() => null);
    if (!answer?.ok) return;
    const options = document.createDocumentFragment();
    for (const [symbol, name] of await answer.json()) {
      const option = document.createElement("option");
      option.value = symbol;
      option.textContent = name;
      options.append(option);
    }
    document.getElementById("symbols").replaceChildren(options);
  },
  { once: true },
);

make();
