"use strict";
// The live view: choose or drop an image, click a window, choose networks, and see each of them as it is done.

(async () => {
  const { el, number } = lamscope;
  const at = (id) => document.getElementById(id);
  const ask = async (path, options = {}) => {
    const answer = await fetch(path, { ...options, headers: { "X-Lamscope": "1", ...options.headers } });
    const content = await answer.json().catch(() => ({ message: `the server answered ${answer.status}` }));
    if (!answer.ok) throw new Error(content.message || `the server answered ${answer.status}`);
    return content;
  };
  const say = (text) => { at("message").hidden = !text; at("message").textContent = text || ""; };
  const guarded = (work) => async (...given) => { say(); try { await work(...given); } catch (error) { say(error.message); } };

  const choices = await ask("/api/choices");
  lamscope.data = choices;
  const chosen = new Set(choices.networks.slice(0, 3).map((n) => n.name));
  const place = { y: 0, x: 0 };
  let results = [];
  let polling = false;
  at("about").textContent = `${choices.version}, ${choices.attribution} on ${choices.device}`;

  function images(selected) {
    at("image").replaceChildren(...choices.images.map((m) => el("option", { value: m.id, selected: m.id === selected }, m.name)));
    show();
  }
  function show() {
    const id = at("image").value;
    const picture = at("picture");
    picture.alt = choices.images.find((m) => m.id === id)?.name || "";
    picture.onload = () => move((picture.naturalHeight - choices.window) / 2, (picture.naturalWidth - choices.window) / 2);
    picture.onerror = guarded(async () => { await ask(`/api/image/${id}`); });
    picture.src = `/api/image/${id}`;
  }
  function move(y, x) {
    const picture = at("picture");
    const size = choices.window;
    const inside = (value, length) => Math.round(Math.min(Math.max(value, 0), length - size - 1));
    place.y = inside(y, picture.naturalHeight);
    place.x = inside(x, picture.naturalWidth);
    const percent = (value, length) => `${100 * value / length}%`;
    Object.assign(at("box").style, { top: percent(place.y, picture.naturalHeight), left: percent(place.x, picture.naturalWidth),
      height: percent(size, picture.naturalHeight), width: percent(size, picture.naturalWidth) });
    at("where").textContent = `Window at row ${place.y}, column ${place.x}, ${size} × ${size} SR pixels`;
  }
  function networks() {
    at("networks").replaceChildren(...choices.networks.map((n) => el("button.chip", { type: "button", id: `chip-${n.name}`, "aria-pressed": String(chosen.has(n.name)),
      onclick: () => { chosen.has(n.name) ? chosen.delete(n.name) : chosen.add(n.name); networks(); at(`chip-${n.name}`).focus(); } }, lamscope.swatch(n), n.label)));
  }
  const open = guarded(async (file) => {
    if (file.size > choices.max_bytes) throw new Error(`The file is larger than ${choices.max_bytes / 1e6} MB.`);
    const query = new URLSearchParams({ name: file.name, role: at("role").value });
    const added = await ask(`/api/upload?${query}`, { method: "POST", body: file });
    choices.images.unshift(added);
    images(added.id);
  });
  const look = guarded(async () => {
    const asked = { image: at("image").value, ...place, models: choices.networks.map((n) => n.name).filter((n) => chosen.has(n)) };
    const task = await ask("/api/task", { method: "POST", body: JSON.stringify(asked) });
    results = [];
    at("results").replaceChildren();
    await follow(task.window);
  });
  async function follow(window_) {
    if (polling) return;
    polling = true;
    busy(true);
    try {
      for (;;) {
        const task = await ask(`/api/task?known=${results.length}`);
        at("progress").value = task.share;
        at("doing").textContent = task.status === "running" ? `${task.doing} … ${Math.round(100 * task.share)} %` : task.status;
        for (const result of task.results) {
          results.push({ ...result, window: window_ });
          at("results").append(await card(results.at(-1)));
        }
        if (task.status !== "running") {
          say(task.message);
          break;
        }
        await new Promise((resolve) => setTimeout(resolve, 200));
      }
    } finally {
      polling = false;
      busy(false);
    }
  }
  function busy(on) {
    at("go").disabled = on;
    at("cancel").disabled = !on;
  }
  async function card(result) {
    const network = choices.networks.find((n) => n.name === result.model);
    const [y, x, size] = result.window;
    const picture = el("img", { src: result.sr, alt: `SR of ${network.label}` });
    await picture.decode();
    const [w, h] = [picture.naturalWidth, picture.naturalHeight];
    const inner = el("div.inner", {}, picture);
    const layer = at("layer").value;
    if (layer !== "none") {
      const [field, width, height] = await lamscope.field(result[layer]);
      const canvas = el("canvas", { role: "img", "aria-label": `${layer === "map" ? "LAM" : "area of contribution"} of ${network.label}`, class: layer === "map" ? "crisp" : "" });
      lamscope.paint(canvas, field, width, height, choices.colours[at("colours").value]);
      inner.append(canvas);
    }
    inner.append(el("div.box", { style: { left: `${100 * x / w}%`, top: `${100 * y / h}%`, width: `${100 * size / w}%`, height: `${100 * size / h}%` } }));
    const rows = [["DI", `${number(result.di)} %`], ["PSNR-Y", `${number(result.psnr_y)} dB`], ["SSIM-Y", number(result.ssim_y, 4)], ["window PSNR-Y", `${number(result.window_psnr_y)} dB`],
      ["error", number(result.error, 3)], ["steps", String(result.n_steps)], ["flat pixels", String(result.n_flat)], ["time", `${number(result.seconds, 1)} s`]];
    return el("figure.card", { "data-network": result.model }, el("div.stack", { style: { aspectRatio: `${w} / ${h}` } }, inner),
      el("figcaption", {}, lamscope.swatch(network), el("b", {}, network.label), el("span.family", {}, ` ${network.family}`)),
      el("dl", {}, ...rows.flatMap(([k, v]) => [el("dt", {}, k), el("dd", {}, v)])));
  }
  const redraw = async () => at("results").replaceChildren(...(await Promise.all(results.map(card))));

  at("image").addEventListener("change", () => { say(); show(); });
  at("file").addEventListener("change", (e) => { if (e.target.files.length) open(e.target.files[0]); e.target.value = ""; });
  const drop = at("drop");
  drop.addEventListener("click", (e) => {
    const box = at("picture").getBoundingClientRect();
    const scale = at("picture").naturalWidth / box.width;
    move((e.clientY - box.top) * scale - choices.window / 2, (e.clientX - box.left) * scale - choices.window / 2);
  });
  drop.addEventListener("keydown", (e) => {
    const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[e.key];
    if (!step) return;
    const by = e.shiftKey ? 16 : 1;
    move(place.y + by * step[0], place.x + by * step[1]);
    e.preventDefault();
  });
  drop.addEventListener("dragover", (e) => { e.preventDefault(); drop.classList.add("over"); });
  drop.addEventListener("dragleave", () => drop.classList.remove("over"));
  drop.addEventListener("drop", (e) => { e.preventDefault(); drop.classList.remove("over"); if (e.dataTransfer.files.length) open(e.dataTransfer.files[0]); });
  at("go").addEventListener("click", look);
  at("cancel").addEventListener("click", guarded(async () => { await ask("/api/cancel", { method: "POST" }); }));
  for (const id of ["layer", "colours"]) at(id).addEventListener("change", redraw);
  at("opacity").addEventListener("input", (e) => at("results").style.setProperty("--opacity", e.target.value / 100));
  images();
  networks();
})();
