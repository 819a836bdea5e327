// What every page does: keys, colours, small sentences, and what has changed elsewhere. No page needs more to be read.
"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const csrf = () => document.querySelector('meta[name="csrf"]').content;

  // --- requests of buttons -------------------------------------------------------------------------------------

  document.addEventListener("htmx:config:request", (event) => {
    event.detail.ctx.request.headers["X-CSRF-Token"] = csrf();
  });

  document.addEventListener("htmx:confirm", (event) => {
    event.preventDefault();
    const { ctx, issueRequest, dropRequest } = event.detail;
    byId("sure-text").textContent = ctx.confirm;
    byId("sure-yes").textContent = ctx.sourceElement.textContent.trim();
    const dialog = byId("sure");
    dialog.returnValue = "no";
    dialog.addEventListener("close", () => (dialog.returnValue === "yes" ? issueRequest() : dropRequest()), { once: true });
    dialog.showModal();
  });

  let silence = 0;
  function hush() {
    clearTimeout(silence);
    silence = setTimeout(() => byId("said").replaceChildren(), 8000);
  }
  function say(sentence, kind) {
    const line = document.createElement("p");
    line.className = kind === "bad" ? "b-failed" : "b-success";
    line.textContent = sentence;
    byId("said").replaceChildren(line);
    hush();
  }
  document.addEventListener("htmx:after:swap", hush);
  document.addEventListener("htmx:error", () => say("The server does not answer. Is it still running?", "bad"));
  // What a button changed is shown by pages that are made anew as a whole, too.
  document.body.addEventListener("connector-changed", () => {
    if (document.querySelector("[data-reload-on-change], [data-reload]")) setTimeout(() => location.reload(), 700);
  });

  // --- times ---------------------------------------------------------------------------------------------------

  const UNITS = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  function relative(seconds) {
    const far = Math.abs(seconds);
    if (far < 1) return "now";
    const [size, name] = UNITS.find(([size]) => far >= size);
    const count = Math.floor(far / size);
    return seconds < 0 ? `in ${count} ${name}` : `${count} ${name} ago`;
  }
  function tellTimes() {
    const now = Date.now();
    for (const time of document.querySelectorAll("time[datetime]")) {
      const text = relative((now - Date.parse(time.dateTime)) / 1000);
      if (time.textContent !== text) time.textContent = text;
    }
  }
  tellTimes();
  setInterval(tellTimes, 5000);
  document.addEventListener("htmx:after:swap", tellTimes);

  // --- colours -------------------------------------------------------------------------------------------------

  byId("theme")?.addEventListener("click", () => {
    const root = document.documentElement;
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    try { localStorage.setItem("connector-theme", root.dataset.theme); } catch { /* not kept, then */ }
    document.dispatchEvent(new Event("connector-theme"));
  });

  // --- keys ----------------------------------------------------------------------------------------------------

  const lines = () => [...document.querySelectorAll("table[data-keys] tr[data-href]")].filter((line) => line.offsetParent);
  function move(step) {
    const all = lines();
    if (!all.length) return;
    const at = all.findIndex((line) => line.classList.contains("on"));
    const next = all[Math.min(Math.max(at + step, 0), all.length - 1)];
    all[at]?.classList.remove("on");
    next.classList.add("on");
    next.querySelector("a")?.focus({ preventScroll: true });
    next.scrollIntoView({ block: "nearest" });
  }
  function help() { byId("keys").showModal(); }
  byId("help")?.addEventListener("click", help);

  let before = "";
  const PLACES = { s: "/", r: "/runs", k: "/rows" };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    const field = event.target.closest("input, select, textarea");
    if (field) {
      if (event.key === "Escape") field.blur();
      return;
    }
    const pressed = before + event.key;
    before = event.key === "g" ? "g" : "";
    if (pressed.length === 2 && pressed[0] === "g" && PLACES[event.key]) {
      location.href = PLACES[event.key];
      return;
    }
    const handled = {
      "/": () => (byId("search") ?? byId("find"))?.focus(),
      "?": help,
      j: () => move(1),
      k: () => move(-1),
      Escape: () => document.dispatchEvent(new Event("connector-close")),
    }[event.key];
    // The table of calls moves its own lines.
    if (!handled || (byId("calls") && (event.key === "j" || event.key === "k"))) return;
    event.preventDefault();
    handled();
  });

  document.addEventListener("click", async (event) => {
    const copy = event.target.closest("[data-copy]");
    if (copy) {
      const answer = await fetch(copy.dataset.copy);
      const text = await answer.text();
      try {
        await navigator.clipboard.writeText(text);
        say("Copied. The secrets stand as shell variables.");
      } catch {
        say("The browser does not let this page copy; `connector log --format curl` prints it.", "bad");
      }
      return;
    }
    const line = event.target.closest("tr[data-href]");
    if (line && !event.target.closest("a, button, input") && !String(getSelection())) location.href = line.dataset.href;
  });
  document.addEventListener("keydown", (event) => {
    const line = document.querySelector("tr[data-href].on");
    if (event.key === "Enter" && line && !event.target.closest("a, button, input, select")) location.href = line.dataset.href;
  });

  // "Plan" on the first page means: show it.
  if (location.hash === "#plan") addEventListener("load", () => document.querySelector("#plan [hx-get]")?.click());

  // --- what goes on elsewhere ----------------------------------------------------------------------------------

  const watched = document.querySelector("[data-live]");
  if (watched) {
    const source = new EventSource(watched.dataset.live);
    source.addEventListener("changed", () => {
      if (watched.hasAttribute("data-reload")) location.reload();
      else document.body.dispatchEvent(new Event("connector-changed"));
    });
    // A run that was asked for may have begun before anybody listened.
    if (watched.hasAttribute("data-again")) setTimeout(() => location.reload(), 1500);
    addEventListener("pagehide", () => source.close());
  }

  window.connector = { relative, say };
})();
