"use strict";
// Draws the report that stands in #data. Its strings are untrusted: they become text nodes, never markup or attributes.
const { report, messages, end_ns: end } = JSON.parse(document.getElementById("data").textContent);
const main = document.querySelector("main");
const SVG = "http://www.w3.org/2000/svg";
const MOST_SPANS = 1000;

function add(parent, name, text, className) {
  const element = document.createElement(name);
  if (text !== undefined) element.textContent = text;
  if (className) element.className = className;
  return parent.appendChild(element);
}

function draw(parent, name, numbers, className) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(numbers)) element.setAttribute(key, Number(value));
  if (className) element.setAttribute("class", className);
  return parent.appendChild(element);
}

function duration(ns) {
  if (ns === null || ns === undefined) return "-";
  if (ns < 1e8) return `${(ns / 1e6).toFixed(1)} ms`;
  if (ns < 6e10) return `${(ns / 1e9).toFixed(1)} s`;
  return `${Math.floor(ns / 6e10)} min ${Math.floor((ns % 6e10) / 1e9)} s`;
}

function bytes(count) {
  if (count === null || count === undefined) return "-";
  const units = ["B", "kB", "MB", "GB", "TB"];
  let unit = 0;
  while (count >= 1000 && unit < units.length - 1) { count /= 1000; unit += 1; }
  return `${unit && count < 10 ? count.toFixed(1) : Math.round(count)} ${units[unit]}`;
}

function table(title, columns, rows) {
  if (!rows.length) return;
  add(main, "h2", title);
  const element = add(add(main, "div", undefined, "table"), "table");
  const head = add(add(element, "thead"), "tr");
  for (const [name, kind] of columns) add(head, "th", name, kind);
  const body = add(element, "tbody");
  for (const row of rows) {
    const line = add(body, "tr");
    row.forEach((cell, at) => add(line, "td", String(cell ?? "-"), columns[at][1]));
  }
}

function heading() {
  const command = report.command;
  document.title = `gmtrace: ${report.verdict.state}`;
  const lost = Object.entries(report.losses);
  if (lost.length) add(main, "p", "Not seen: " + lost.map(([cause, count]) => `${count} ${cause}`).join(", "), "warning");
  for (const what of report.backend.unseen) add(main, "p", what, "warning");
  add(main, "h1", report.verdict.summary);
  const exit = command.exit;
  const ended = exit === null ? "still running"
    : "code" in exit ? `exit status ${exit.code}` : `killed by ${exit.signal}`;
  add(main, "p", `${command.argv.join(" ")} (pid ${command.pid}) in ${command.cwd}; started ${command.started_at}; `
    + `${duration(command.duration_ns)}, ${ended}; ${bytes(report.totals.bytes)} received`);
  for (const note of report.notes ?? []) add(main, "p", note);
}

function findings() {
  if (report.findings.length) add(main, "h2", "Findings");
  for (const message of messages) add(main, "pre", message);
}

function rows() {
  const length = (span) => (span.end_ns ?? end) - span.start_ns;
  const longest = [...report.spans].sort((a, b) => length(b) - length(a)).slice(0, MOST_SPANS);
  return longest.sort((a, b) => a.start_ns - b.start_ns || length(b) - length(a));
}

function timeline() {
  const spans = rows();
  if (!spans.length) return;
  add(main, "h2", "Timeline");
  if (spans.length < report.spans.length) add(main, "p", `The longest ${spans.length} of ${report.spans.length} spans.`);
  add(main, "p", "Blue ended well, red in an error, amber still went on when this was written. Shaded: nothing moved.");
  const label = 340, width = 1150, row = 17, top = 24;
  const height = top + spans.length * row + 6;
  const x = (ns) => label + (Math.min(ns, end) / Math.max(end, 1)) * (width - label - 70);
  const svg = draw(add(main, "div", undefined, "chart"), "svg", { width, height });
  for (const stall of report.stalls) {
    const from = x(stall.start_ns);
    draw(svg, "rect", { x: from, y: top, width: Math.max(x(stall.end_ns ?? end) - from, 1), height: height - top }, "stall");
  }
  for (let tick = 0; tick <= 5; tick += 1) {
    const at = (end * tick) / 5;
    draw(svg, "line", { x1: x(at), x2: x(at), y1: top - 4, y2: height });
    draw(svg, "text", { x: x(at) + 3, y: 14 }, "axis").textContent = duration(at);
  }
  spans.forEach((span, at) => bar(svg, span, { x, y: top + at * row, row }));
}

function bar(svg, span, { x, y, row }) {
  const from = x(span.start_ns), to = x(span.end_ns ?? end);
  const time = duration((span.end_ns ?? end) - span.start_ns);
  const line = `${span.type} ${span.name}`;
  const status = ["ok", "error", "open"].includes(span.status) ? span.status : "ok";
  const group = draw(svg, "g", {});
  draw(group, "title", {}).textContent = `${line}\n${time}, pid ${span.pid}${span.status === "open" ? ", still going on" : ""}\n`
    + Object.entries(span.attrs).map(([key, value]) => `${key}: ${typeof value === "string" ? value : JSON.stringify(value)}`).join("\n");
  const chars = Array.from(line);
  draw(group, "text", { x: 6, y: y + 12 }).textContent = chars.length > 48 ? `${chars.slice(0, 20).join("")}…${chars.slice(-27).join("")}` : line;
  draw(group, "rect", { x: from, y: y + 2, width: Math.max(to - from, 1.5), height: row - 4 }, status);
  draw(group, "text", { x: to + 4, y: y + 12 }).textContent = time;
}

function tables() {
  table("Hosts", [["host"], ["addresses"], ["for"], ["connected", "number"], ["failed", "number"], ["received", "number"], ["connect, median", "number"], ["maximum", "number"]],
    report.hosts.map((host) => [host.host, host.addresses.join(", "), host.role, host.connections, host.failures, bytes(host.bytes), duration(host.connect_median_ns), duration(host.connect_max_ns)]));
  table("Modules", [["module"], ["version"], ["result"], ["time", "number"], ["received", "number"], ["waited for"]],
    [...report.modules].sort((a, b) => ((b.end_ns ?? end) - b.start_ns) - ((a.end_ns ?? end) - a.start_ns)).slice(0, MOST_SPANS)
      .map((module) => [module.path, module.version, module.result, duration((module.end_ns ?? end) - module.start_ns), bytes(module.bytes),
        Object.entries(module.wait_ns).map(([kind, ns]) => `${kind} ${duration(ns)}`).join(", ")]));
  table("Processes", [["pid", "number"], ["parent", "number"], ["command"], ["from", "number"], ["time", "number"]],
    report.processes.map((process) => [process.pid, process.ppid, process.argv.join(" ") || process.exe, duration(process.started_ns), duration((process.ended_ns ?? end) - process.started_ns)]));
}

heading();
findings();
timeline();
tables();
