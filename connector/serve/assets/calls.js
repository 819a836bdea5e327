// The table of calls: however many there are, only those that can be seen are on the page.
"use strict";
(() => {
  const box = document.getElementById("calls");
  if (!box) return;
  const body = box.querySelector(".v-body");
  const rows = box.querySelector(".v-rows");
  const filters = document.getElementById("filters");
  const view = document.querySelector(".split-view");
  const TALL = 28;
  const AHEAD = 12;
  const WINDOW = 200;
  const MOST_TALL = 15_000_000; // what browsers still scroll exactly
  let total = 0;
  let chosen = -1;
  let opened = null;
  let epoch = 0;
  const windows = new Map(); // by number: lines, or the promise of them

  const query = () => {
    const found = new URLSearchParams();
    for (const [name, value] of new FormData(filters)) if (value !== "") found.set(name, value);
    return found;
  };

  async function fetchWindow(number) {
    const mine = epoch;
    const words = query();
    words.set("offset", number * WINDOW);
    words.set("limit", WINDOW);
    const answer = await fetch(`/runs/${box.dataset.run}/calls/window?${words}`, { headers: { accept: "application/json" } });
    if (mine !== epoch) return;
    if (!answer.ok) {
      const said = await answer.json().catch(() => ({}));
      document.getElementById("calls-count").textContent = said.message ?? "The calls cannot be read.";
      windows.delete(number);
      return;
    }
    const found = await answer.json();
    windows.set(number, found.lines);
    if (windows.size > 40) windows.delete(windows.keys().next().value);
    if (found.total !== total || number === 0) resize(found.total);
    draw();
  }

  function resize(count) {
    total = count;
    body.style.height = `${Math.min(total * TALL, MOST_TALL)}px`;
    box.setAttribute("aria-rowcount", String(total + 1));
    document.getElementById("calls-count").textContent = total === 1 ? "1 call" : `${total.toLocaleString("en")} calls`;
  }

  const first = () => {
    const most = Math.max(total * TALL - box.clientHeight, 1);
    const scrollable = Math.max(Math.min(total * TALL, MOST_TALL) - box.clientHeight, 1);
    return Math.floor((box.scrollTop / scrollable) * most / TALL);
  };

  function lineAt(at) {
    const number = Math.floor(at / WINDOW);
    const found = windows.get(number);
    if (Array.isArray(found)) return found[at - number * WINDOW];
    if (!found) windows.set(number, fetchWindow(number));
    return undefined;
  }

  const cell = (line, text, kind) => {
    const made = document.createElement("span");
    made.setAttribute("role", "cell");
    if (kind) made.className = kind;
    made.textContent = text;
    line.append(made);
    return made;
  };
  const statusKind = (status) => (typeof status !== "number" ? (status === "open" ? "waiting" : "failed") : status < 300 ? "success" : status === 429 ? "held" : "failed");

  function made(at, call) {
    const line = document.createElement("div");
    line.className = at === chosen ? "v-row on" : "v-row";
    line.setAttribute("role", "row");
    line.setAttribute("aria-rowindex", String(at + 2));
    line.dataset.at = at;
    if (!call) {
      cell(line, "…", "v-wait");
      return line;
    }
    const [id, ms, method, url, status, took, attempt, carried, , reason, split] = call;
    line.dataset.call = id;
    const address = new URL(url, location.href);
    cell(line, new Date(ms).toISOString().slice(11, 23), "mono");
    cell(line, method);
    cell(line, address.pathname + address.search, split ? "p split" : "p").title = url;
    cell(line, String(status), `badge b-${statusKind(status)}`);
    cell(line, took === null ? "" : took < 10 ? took.toFixed(1) : Math.round(took).toLocaleString("en"), "num");
    cell(line, attempt > 1 ? String(attempt) : "", "num");
    cell(line, carried ? carried.toLocaleString("en") : "", "num");
    cell(line, reason ?? "").title = reason ?? "";
    return line;
  }

  let waiting = 0;
  function draw() {
    waiting = 0;
    const from = Math.max(first() - AHEAD, 0);
    const to = Math.min(from + Math.ceil(box.clientHeight / TALL) + 2 * AHEAD, total);
    const lines = [];
    for (let at = from; at < to; at += 1) lines.push(made(at, lineAt(at)));
    rows.replaceChildren(...lines);
    const exact = total * TALL <= MOST_TALL;
    rows.style.transform = `translateY(${exact ? from * TALL : box.scrollTop - (first() - from) * TALL}px)`;
  }
  const soon = () => { if (!waiting) waiting = requestAnimationFrame(draw); };
  box.addEventListener("scroll", soon, { passive: true });
  addEventListener("resize", soon);

  function start({ keep } = {}) {
    epoch += 1;
    windows.clear();
    if (!keep) { chosen = -1; box.scrollTop = 0; }
    const words = query();
    history.replaceState(null, "", words.size ? `?${words}` : location.pathname);
    fetchWindow(keep ? Math.floor(first() / WINDOW) : 0).then(() => {
      if (!total) {
        const nothing = document.createElement("p");
        nothing.className = "empty";
        nothing.textContent = words.size ? "No call of this run is like that." : "This run made no request.";
        rows.replaceChildren(nothing);
      }
    });
  }

  function choose(at) {
    if (!total) return;
    chosen = Math.min(Math.max(at, 0), total - 1);
    const top = chosen * TALL;
    const seen = box.clientHeight - 30;
    if (total * TALL > MOST_TALL) box.scrollTop = (top / (total * TALL)) * MOST_TALL;
    else if (top < box.scrollTop) box.scrollTop = top;
    else if (top + TALL > box.scrollTop + seen) box.scrollTop = top + TALL - seen;
    draw();
    if (view.classList.contains("open")) open();
  }

  async function open() {
    const call = lineAt(chosen);
    if (!call) return;
    [opened] = call;
    view.classList.add("open");
    await htmx.ajax("GET", `/calls/${opened}`, { target: "#call", swap: "innerHTML" });
    draw();
  }
  function close() {
    view.classList.remove("open");
    opened = null;
    box.focus({ preventScroll: true });
    draw();
  }

  rows.addEventListener("click", (event) => {
    const line = event.target.closest(".v-row[data-call]");
    if (!line) return;
    chosen = Number(line.dataset.at);
    draw();
    open();
  });
  document.addEventListener("connector-close", close);
  document.getElementById("call").addEventListener("click", (event) => { if (event.target.closest("[data-close]")) close(); });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    if (event.target.closest("input, select, textarea")) return;
    const page = Math.max(Math.floor(box.clientHeight / TALL) - 2, 1);
    const inTable = box.contains(event.target) || event.target === document.body;
    const keys = { j: () => choose(chosen + 1), k: () => choose(chosen - 1) };
    if (inTable) {
      Object.assign(keys, {
        ArrowDown: () => choose(chosen + 1), ArrowUp: () => choose(chosen - 1), Enter: open,
        PageDown: () => choose(chosen + page), PageUp: () => choose(chosen - page),
        Home: () => choose(0), End: () => choose(total - 1),
      });
    }
    if (!keys[event.key] || event.target.closest("a, button, summary")) return;
    event.preventDefault();
    keys[event.key]();
  });

  let typing = 0;
  filters.addEventListener("input", () => { clearTimeout(typing); typing = setTimeout(start, 250); });
  filters.addEventListener("submit", (event) => { event.preventDefault(); start(); });
  filters.addEventListener("reset", (event) => {
    event.preventDefault();
    for (const field of filters.elements) if (field.name) field.value = "";
    start();
  });

  start();
  if (box.hasAttribute("data-going")) {
    const source = new EventSource(`/runs/${box.dataset.run}/live`);
    let read = 0;
    source.addEventListener("points", (event) => {
      const { counts } = JSON.parse(event.data);
      if (query().size) {
        // Which of the new calls a filter takes, only the server knows; it is not asked all the time.
        if (Date.now() - read > 3000) { read = Date.now(); start({ keep: true }); }
        return;
      }
      // Only what may have changed is read again: windows that were not full, or held calls without an answer.
      const seen = [first(), first() + box.clientHeight / TALL + AHEAD];
      let changed = seen[1] > total;
      for (const [number, found] of windows) {
        if (!Array.isArray(found) || (found.length === WINDOW && !found.some((call) => call[4] === "open"))) continue;
        windows.delete(number);
        changed ||= number * WINDOW < seen[1] && (number + 1) * WINDOW > seen[0] - AHEAD;
      }
      resize(Object.values(counts).reduce((sum, count) => sum + count, 0));
      if (changed) soon();
    });
    source.addEventListener("over", () => { source.close(); location.reload(); });
    addEventListener("pagehide", () => source.close());
  }
})();
