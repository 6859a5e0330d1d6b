// Keeps an open page current: on each event of the fleet, and every few seconds, the page is fetched again and its content
// exchanged. Without this script the page is the same, as of when it was loaded.
const main = document.querySelector("main");
const PAUSE = 400;
const EVERY = 10_000;
const POINTS = 120;
let waiting = null;
let busy = false;

// Nobody loses what they are typing or the place they are at.
function inUse() {
  const at = document.activeElement;
  return main.contains(at) && at !== main && at.matches("input, select, textarea, button");
}

async function refresh() {
  waiting = null;
  if (busy || document.hidden || inUse()) return;
  busy = true;
  try {
    const answer = await fetch(location.href, { headers: { accept: "text/html" } });
    if (answer.redirected && new URL(answer.url).pathname === "/login") location.reload();
    else if (answer.ok) {
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("main");
      if (fresh && !inUse()) exchange(fresh);
      main.classList.remove("stale");
    }
  } catch {
    main.classList.add("stale");
  } finally {
    busy = false;
  }
}

function exchange(fresh) {
  const open = [...main.querySelectorAll("details")].map((it) => it.open);
  const charts = main.querySelector(".charts");
  const kept = fresh.querySelector(".charts");
  if (charts && kept) kept.replaceWith(charts);
  main.replaceChildren(...fresh.childNodes);
  main.querySelectorAll("details").forEach((it, index) => (it.open = open[index] ?? it.open));
}

function soon() {
  waiting ??= setTimeout(refresh, PAUSE);
}

const events = new EventSource("/ui/live");
events.onmessage = soon;
events.onerror = () => main.classList.add("stale");
events.onopen = () => main.classList.remove("stale");
setInterval(soon, EVERY);
document.addEventListener("visibilitychange", soon);

// Live charts of a host.
const charts = main.querySelector(".charts[data-readings]");
if (charts) {
  const series = new Map();
  const look = async () => {
    if (document.hidden) return;
    const answer = await fetch(charts.dataset.readings).catch(() => null);
    if (!answer?.ok) return;
    for (const { metric, value, text } of (await answer.json()).readings) {
      const points = series.get(metric) ?? [];
      points.push(value);
      if (points.length > POINTS) points.shift();
      series.set(metric, points);
      draw(metric, points, text);
    }
  };
  const draw = (metric, points, text) => {
    const figure = [...charts.children].find((it) => it.dataset.metric === metric);
    if (!figure) return;
    let line = figure.querySelector("polyline");
    if (!line) {
      const NS = "http://www.w3.org/2000/svg";
      const svg = document.createElementNS(NS, "svg");
      svg.setAttribute("viewBox", "0 0 240 60");
      svg.setAttribute("preserveAspectRatio", "none");
      line = svg.appendChild(document.createElementNS(NS, "polyline"));
      figure.append(svg);
    }
    const percent = metric.endsWith("percent");
    const low = percent ? 0 : Math.min(...points);
    const high = percent ? 100 : Math.max(...points);
    const y = (value) => 58 - (56 * (value - low)) / (high - low || 1);
    line.setAttribute("points", points.map((it, index) => `${240 - ((points.length - 1 - index) * 240) / (POINTS - 1)},${y(it)}`).join(" "));
    figure.querySelector("strong").textContent = text;
  };
  look();
  setInterval(look, 2_000);
}
