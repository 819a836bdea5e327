// The page of a run: the time line of its requests, and all that is new while it goes on.
"use strict";
(() => {
  const box = document.getElementById("timeline");
  if (!box) return;
  const run = box.dataset.run;
  const began = Number(box.dataset.began);
  const KINDS = ["ok", "split", "limited", "failed"];
  const calls = new Map(); // by id: [seconds since the run began, ms, kind]
  let chart = null;
  let drawing = 0;
  let took = 0; // ms that the last drawing took
  let counts = {};
  const SHOWN = 4000; // more points that went well than this are one blot

  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  function take(columns) {
    if (columns.counts) counts = columns.counts;
    columns.id.forEach((id, at) => calls.set(id, [columns.at[at] - began, columns.ms[at], columns.kind[at]]));
    tell();
    // A drawing of thousands of points takes time that a run on the same machine could use.
    const pause = chart ? Math.min(took * 200, 5000) : 0;
    if (!drawing) drawing = setTimeout(() => requestAnimationFrame(timed), pause);
  }

  function timed() {
    drawing = 0;
    const began = performance.now();
    draw();
    took = performance.now() - began;
  }

  function data() {
    const every = Math.ceil(calls.size / SHOWN);
    const found = [...calls].filter(([id, [, ms, kind]]) => ms !== null && (kind !== "ok" || id % every === 0)).map(([, call]) => call).sort((one, other) => one[0] - other[0]);
    const columns = [found.map(([at]) => at)];
    for (const kind of KINDS) columns.push(found.map(([, ms, its]) => (its === kind ? ms : null)));
    return columns;
  }

  function tell() {
    const well = (counts.ok ?? 0) + (counts.split ?? 0);
    const parts = [`${well.toLocaleString("en")} answered`];
    if (counts.split) parts.push(`${counts.split} of them parts of refused batches`);
    if (counts.limited) parts.push(`${counts.limited} told to slow down (429)`);
    if (counts.failed) parts.push(`${counts.failed} refused or failed`);
    if (counts.open) parts.push(`${counts.open} without an answer yet`);
    document.getElementById("timeline-text").textContent = calls.size ? parts.join(", ") + "." : "No request yet.";
  }

  function draw() {
    tell();
    if (!calls.size) return;
    if (chart) {
      chart.setData(data());
      return;
    }
    const axis = () => ({ stroke: colour("--dim"), grid: { stroke: colour("--line-soft"), width: 1 }, ticks: { stroke: colour("--line"), width: 1 } });
    const grow = calls.size < 300 ? 2.5 : 0;
    const points = (name, small) => ({
      stroke: colour(name), width: 0, paths: () => null,
      points: { show: true, size: small + grow, fill: colour(name), stroke: colour(name), width: 0 },
    });
    chart = new uPlot({
      width: box.clientWidth - 12,
      height: 220,
      scales: { x: { time: false, range: (_, low, high) => [Math.min(low ?? 0, 0), Math.max(high ?? 1, 0.1)] }, y: { range: (_, low, high) => [0, Math.max(high ?? 1, 1) * 1.08] } },
      axes: [
        { ...axis(), values: (_, ticks) => ticks.map((tick) => `${tick} s`) },
        { ...axis(), size: 64, values: (_, ticks) => ticks.map((tick) => (tick >= 1000 ? `${tick / 1000} s` : `${tick} ms`)) },
      ],
      cursor: { points: { show: false }, drag: { x: true, y: false } },
      legend: { show: false },
      series: [{}, { label: "answered", ...points("--ok", 3.5) }, { label: "split", ...points("--doubt", 4.5) }, { label: "429", ...points("--warn", 5.5) }, { label: "failed", ...points("--bad", 5.5) }],
    }, data(), box);
  }

  function again() {
    chart?.destroy();
    chart = null;
    draw();
  }
  let resizing = 0;
  addEventListener("resize", () => {
    clearTimeout(resizing);
    resizing = setTimeout(() => chart?.setSize({ width: box.clientWidth - 12, height: 220 }), 120);
  });
  document.addEventListener("connector-theme", again);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);

  const load = async () => {
    const answer = await fetch(`/runs/${run}/points`);
    if (answer.ok) take(await answer.json());
  };

  if (box.hasAttribute("data-live-run")) {
    const source = new EventSource(`/runs/${run}/live`);
    // Only what comes from now on is told: what was before is read when somebody listens.
    source.addEventListener("open", load);
    source.addEventListener("run", (event) => {
      const parts = JSON.parse(event.data);
      document.getElementById("run-now").innerHTML = parts.now;
      document.getElementById("run-more").innerHTML = parts.more;
    });
    source.addEventListener("points", (event) => take(JSON.parse(event.data)));
    source.addEventListener("over", () => {
      source.close();
      location.reload();
    });
    addEventListener("pagehide", () => source.close());
  } else {
    load();
  }
})();
