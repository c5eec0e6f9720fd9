"use strict";
// The frame: navigation, parts, theme, keyboard; draws the view that the address names.

(() => {
  const { el } = lamscope;
  const main = document.getElementById("content");
  const parts = lamscope.data.parts;
  document.getElementById("version").textContent = lamscope.data.version;

  function draw() {
    const { view, part: number, query } = lamscope.address();
    const found = lamscope.views.find((v) => v.name === view) || lamscope.views[0];
    const part = parts[number] || parts[0];
    document.getElementById("views").replaceChildren(...lamscope.views.map((v) => el("li", {},
      el("a", { href: lamscope.link(v.name, {}, parts.indexOf(part)), "aria-current": v === found ? "page" : null }, v.title))));
    document.title = `${found.title} – lamscope report`;
    main.dataset.view = found.name;
    main.replaceChildren(...found.show(part, query).filter(Boolean));
  }

  const choice = document.getElementById("part");
  document.getElementById("part-choice").hidden = parts.length < 2;
  choice.replaceChildren(...parts.map((part, i) => el("option", { value: String(i) }, part.title)));
  choice.addEventListener("change", () => { location.hash = lamscope.link(lamscope.address().view, {}, choice.value); });

  const memory = { get: () => { try { return localStorage.getItem("lamscope-theme"); } catch { return null; } },
    set: (value) => { try { localStorage.setItem("lamscope-theme", value); } catch { /* some browsers forbid it for files */ } } };
  if (memory.get()) document.documentElement.dataset.theme = memory.get();
  function theme() {
    document.documentElement.dataset.theme = lamscope.dark() ? "light" : "dark";
    memory.set(document.documentElement.dataset.theme);
    draw(); // plots have their colours drawn in
  }
  document.getElementById("theme").addEventListener("click", theme);
  const keys = document.getElementById("keys");
  document.getElementById("help").addEventListener("click", () => keys.showModal());
  document.querySelector(".skip").addEventListener("click", (e) => { e.preventDefault(); main.focus(); });

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || keys.open) return;
    if (event.target.closest("input, select, textarea, .plot")) return;
    const { view, part, query } = lamscope.address();
    const chosen = lamscope.views[Number(event.key) - 1];
    if (chosen) location.hash = lamscope.link(chosen.name, {}, part);
    else if (event.key === "?") keys.showModal();
    else if (event.key === "d") theme();
    else if (event.key === "/" && document.getElementById("filter")) document.getElementById("filter").focus();
    else if (view === "compare" && event.key in lamscope.shortcuts) {
      const [key, value] = lamscope.shortcuts[event.key];
      query.set(key, value);
      location.hash = lamscope.link(view, Object.fromEntries(query), part);
    } else if (view === "compare" && ["ArrowLeft", "ArrowRight"].includes(event.key) && !event.target.closest(".wide"))
      document.getElementById(event.key === "ArrowLeft" ? "previous" : "next")?.click();
    else return;
    event.preventDefault();
  });
  addEventListener("hashchange", () => { choice.value = String(lamscope.address().part); draw(); });
  choice.value = String(lamscope.address().part);
  draw();
})();
