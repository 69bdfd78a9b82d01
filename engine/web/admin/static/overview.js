// The overview, fed by events: tiles, what is wrong, and the throughput as two lines.

import { listen } from "../base/events.js";
import { badge } from "./live.js";

const WIDTH = 600;
const HEIGHT = 140;
const SPAN = 1800;
const LEAST = 120;
const SVG = "http://www.w3.org/2000/svg";

const chart = document.getElementById("chart");
let points = [];

// The time that the chart spans: at first it is filled by minutes, later by half an hour.
const span = (now) => Math.min(SPAN, Math.max(LEAST, points.length ? now - points[0][0] : 0));

const drawLine = (name, column, top, now) => {
  const line = document.createElementNS(SVG, "polyline");
  const places = points.map((point) => {
    const x = WIDTH - ((now - point[0]) / span(now)) * WIDTH;
    const y = HEIGHT - 4 - (point[column] / top) * (HEIGHT - 12);
    return `${x.toFixed(1)},${y.toFixed(1)}`;
  });
  line.setAttribute("points", places.join(" "));
  line.setAttribute("class", name);
  chart.append(line);
};

const draw = () => {
  const now = points.length ? points[points.length - 1][0] : 0;
  points = points.filter((point) => now - point[0] <= SPAN);
  const most = Math.max(...points.map((point) => Math.max(point[1], point[2])), 0);
  const top = most || 1;
  chart.replaceChildren();
  const ground = document.createElementNS(SVG, "line");
  for (const [name, value] of [["x1", 0], ["x2", WIDTH], ["y1", HEIGHT - 3], ["y2", HEIGHT - 3]])
    ground.setAttribute(name, value);
  chart.append(ground);
  drawLine("in", 1, top, now);
  drawLine("out", 2, top, now);
  const language = document.documentElement.lang;
  document.getElementById("top").textContent =
    `▲ ${new Intl.NumberFormat(language, { maximumFractionDigits: 1 }).format(most)}/s`;
};

const list = (name, texts) => {
  const place = document.getElementById(name);
  const items = texts.map((text) => {
    const item = document.createElement("li");
    item.textContent = text;
    return item;
  });
  place.querySelector("ul").replaceChildren(...items);
  place.hidden = items.length === 0;
};

const tell = (now) => {
  for (const place of document.querySelectorAll("[data-told]")) {
    const text = now[place.dataset.told];
    if (place.textContent !== text) place.textContent = text;
  }
  list("trouble", now.reasons);
  list("warnings", now.warnings);
  document.getElementById("well").hidden = now.reasons.length > 0;
};

listen(
  "/admin/overview/live",
  {
    points: (all) => {
      points = all;
      draw();
    },
    now: (now) => {
      tell(now);
      if (now.point && (!points.length || points[points.length - 1][0] < now.point[0])) points.push(now.point);
      draw();
    },
  },
  badge,
);
