// Before anything is drawn: the colours that were chosen here the last time.
"use strict";
try {
  const chosen = localStorage.getItem("connector-theme");
  if (chosen === "dark" || chosen === "light") document.documentElement.dataset.theme = chosen;
} catch { /* a browser that keeps nothing shows what the system asks for */ }
