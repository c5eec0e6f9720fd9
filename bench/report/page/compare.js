"use strict";
// One image through the eyes of any networks, side by side: SR or another picture below, LAM or area above, with an
// opacity, and the numbers. Maps come as grey strips and are coloured here.

(() => {
  const { el, number } = lamscope;
  const BASES = { sr: "SR", hr: "HR", lr: "LR", white: "none" };
  const LAYERS = { lam: "LAM", area: "area of contribution", difference: "difference of LAM", none: "none" };
  const ZOOMS = { 1: "whole image", 2: "2 ×", 4: "4 ×", 8: "8 ×" };
  const state = { base: "sr", layer: "lam", opacity: 60, colours: "seismic", zoom: "1", networks: null, other: null };

  // A strip of grey maps → one Uint8ClampedArray per network.
  async function fields(url, width, height, count) {
    const strip = new Image();
    strip.src = url;
    await strip.decode();
    const canvas = el("canvas", { width, height: height * count });
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(strip, 0, 0);
    return Array.from({ length: count }, (_, i) => {
      const rgba = context.getImageData(0, i * height, width, height).data;
      return Float32Array.from({ length: width * height }, (_, k) => rgba[4 * k] / 255);
    });
  }
  const share = (field) => {
    const sum = field.reduce((a, b) => a + b, 0);
    return field.map((v) => v / (sum || 1));
  };
  function difference(a, b) {
    const [x, y] = [share(a), share(b)];
    const found = x.map((v, k) => v - y[k]);
    const peak = found.reduce((most, v) => Math.max(most, Math.abs(v)), 0);
    return found.map((v) => v / (peak || 1));
  }
  function paint(canvas, values, width, height) {
    canvas.width = width;
    canvas.height = height;
    const context = canvas.getContext("2d");
    const picture = context.createImageData(width, height);
    const table = lamscope.data.colours[state.colours].map((c) => [1, 3, 5].map((at) => parseInt(c.slice(at, at + 2), 16)));
    values.forEach((v, k) => picture.data.set([...table[Math.round(127.5 + 127.5 * v)], 255], 4 * k));
    context.putImageData(picture, 0, 0);
  }

  function show(part, query) {
    const index = Number(query.get("image") ?? lamscope.ordered(part, "rank").at(-1).index);
    const order = query.get("order") || "rank";
    const about = part.images.find((m) => m.index === index);
    if (!about) return [el("h1", {}, "There is no such image")];
    const known = (name) => part.networks.some((n) => n.name === name);
    const asked = query.get("networks")?.split("|").filter(known);
    state.networks = asked?.length ? asked : state.networks?.filter(known);
    if (!state.networks?.length) state.networks = part.networks.slice(0, 6).map((n) => n.name);
    for (const [key, options] of [["base", BASES], ["layer", LAYERS], ["zoom", ZOOMS], ["colours", lamscope.data.colours]])
      if (query.get(key) in options) state[key] = query.get(key);
    if (query.get("opacity")) state.opacity = Math.min(100, Math.max(0, Number(query.get("opacity")) || 0));
    state.other = known(state.other) ? state.other : part.networks.at(-1).name;
    let number_ = Number(query.get("window")) || 0;

    const sequence = lamscope.ordered(part, order);
    const at = sequence.indexOf(about);
    const step = (by, text, sign) => {
      const to = sequence[at + by];
      return el("a.button", { href: to ? lamscope.link("compare", { image: to.index, order }) : null, "aria-disabled": to ? null : "true", id: text,
        "aria-label": to ? `${text} image, ${to.name}` : `no ${text} image` }, sign);
    };
    const grid = el("div.compare");
    const controls = el("div.controls");
    const readout = el("p.small.readout", { role: "status" }, "Point at a map to read it.");
    let content = null;
    let maps = null;

    async function load() {
      try {
        content = await lamscope.image(part, index);
      } catch (error) {
        grid.replaceChildren(el("p.notes", {}, `The files of this image are missing: ${error.message}.`));
        return;
      }
      await choose(number_);
    }
    async function choose(n) {
      number_ = Math.min(n, content.windows.length - 1);
      const window_ = content.windows[number_];
      const count = part.networks.length;
      const [lam, area] = await Promise.all(["maps", "areas"].map((k) => fields(window_[k], content.w, content.h, count)));
      maps = { lam, area };
      controlsOf();
      draw();
    }
    function change(key, value) {
      state[key] = value;
      controlsOf();
      draw();
    }
    function controlsOf() {
      const focused = controls.contains(document.activeElement) && document.activeElement.id;
      const pick = (id, label, options, key) => {
        const made = lamscope.choice(label, Object.entries(options), String(state[key]), (v) => change(key, v));
        made.querySelector("select").id = id;
        return made;
      };
      const slider = el("input", { type: "range", min: "0", max: "100", value: String(state.opacity), id: "opacity",
        oninput: (e) => { state.opacity = Number(e.target.value); grid.style.setProperty("--opacity", state.opacity / 100); lamscope.remember({ opacity: state.opacity }); } });
      const toggle = (n) => {
        const on = state.networks.includes(n.name);
        return el("button.chip", { type: "button", "aria-pressed": String(on), id: `chip-${n.name}`, onclick: () => {
          state.networks = part.networks.map((m) => m.name).filter((m) => (m === n.name ? !on : state.networks.includes(m)));
          controlsOf();
          draw();
        } }, lamscope.swatch(n), n.label);
      };
      const all = state.networks.length === part.networks.length;
      controls.replaceChildren(
        pick("base", "Below", BASES, "base"), pick("layer", "Above", LAYERS, "layer"),
        state.layer === "difference" ? pick("other", "minus", Object.fromEntries(part.networks.map((n) => [n.name, n.label])), "other") : "",
        el("label", {}, "Opacity ", slider), pick("colours", "Colours", { seismic: "seismic (the paper's)", safe: "orange–purple (any eye)" }, "colours"),
        pick("zoom", "Zoom", ZOOMS, "zoom"),
        content.windows.length > 1 ? lamscope.choice("Window", content.windows.map((w, i) => [String(i), `${i + 1} at (${w.y}, ${w.x})`]), String(number_), (v) => choose(Number(v))) : "",
        el("div.chips", { role: "group", "aria-label": "Networks" }, ...part.networks.map(toggle),
          el("button.chip", { type: "button", id: "chips-all", onclick: () => change("networks", part.networks.slice(0, all ? 1 : undefined).map((n) => n.name)) }, all ? "one" : "all")));
      if (focused) document.getElementById(focused)?.focus();
    }
    function values(i) {
      if (state.layer === "none") return null;
      if (state.layer !== "difference") return maps[state.layer][i];
      return difference(maps.lam[i], maps.lam[part.networks.findIndex((n) => n.name === state.other)]);
    }
    function draw() {
      const kept = { base: state.base, layer: state.layer, opacity: state.opacity, colours: state.colours, zoom: state.zoom, networks: state.networks.join("|"), window: number_, image: index, order };
      lamscope.remember(kept);
      grid.style.setProperty("--opacity", state.opacity / 100);
      const truth = card({ label: "HR", family: "ground truth" }, -1, `${lamscope.stem(part, index)}-hr.webp`, null, [["", "PSNR-Y, DI"]]);
      grid.replaceChildren(truth, ...part.networks.flatMap((n, i) => (state.networks.includes(n.name) ? [of(n, i)] : [])));
    }
    function of(n, i) {
      const row = content.windows[number_].rows[i];
      const base = { sr: `${lamscope.stem(part, index)}-sr${i}.webp`, hr: `${lamscope.stem(part, index)}-hr.webp`, lr: `${lamscope.stem(part, index)}-lr.png` }[state.base];
      if (!row) return el("figure.card", {}, el("figcaption", {}, lamscope.swatch(n), el("b", {}, n.label)), el("p.absent", {}, "no result for this image"));
      const value = Object.fromEntries(part.row.map((key, k) => [key, row[k]]));
      const numbers = [["DI", `${number(value.di)} %`], ["PSNR-Y", `${number(about.psnr_y[i])} dB`], ["SSIM-Y", number(about.ssim_y[i], 4)],
        ["window PSNR-Y", `${number(value.window_psnr_y)} dB`], ["error", number(value.error, 3)], ["flat pixels", String(value.n_flat ?? "–")]];
      if (value.status !== "ok") numbers.unshift(["status", value.status]);
      return card(n, i, base, value.status === "ok" ? values(i) : null, numbers);
    }
    function card(n, i, base, field, numbers) {
      const window_ = content.windows[number_];
      const [h, w] = [content.h * part.scale, content.w * part.scale];
      const inner = el("div.inner", { style: zoomed(window_, w, h) });
      if (base) inner.append(el("img", { src: base, alt: `${n.label}: ${i < 0 ? "ground truth" : BASES[state.base]} of ${about.name}`, class: base.endsWith("lr.png") || state.zoom > 1 ? "crisp" : "" }));
      if (field) {
        const canvas = el("canvas", { role: "img", "aria-label": `${LAYERS[state.layer]} of ${n.label}`, class: state.layer === "area" ? "" : "crisp" });
        paint(canvas, field, content.w, content.h);
        canvas.addEventListener("pointermove", (e) => {
          const box = canvas.getBoundingClientRect();
          const [x, y] = [Math.floor((e.clientX - box.left) / box.width * content.w), Math.floor((e.clientY - box.top) / box.height * content.h)];
          if (x >= 0 && y >= 0 && x < content.w && y < content.h)
            readout.textContent = `${n.label}, LR pixel row ${y}, column ${x}: ${LAYERS[state.layer]} ${number(field[y * content.w + x], 3)} of its maximum`;
        });
        inner.append(canvas);
      }
      inner.append(el("div.box", { style: { left: `${100 * window_.x / w}%`, top: `${100 * window_.y / h}%`, width: `${100 * window_.size / w}%`, height: `${100 * window_.size / h}%` } }));
      return el("figure.card", { "data-network": n.name || "truth" }, el("div.stack", { style: { aspectRatio: `${w} / ${h}` } }, inner),
        el("figcaption", {}, n.marker ? lamscope.swatch(n) : "", el("b", {}, n.label), el("span.family", {}, ` ${n.family}`)),
        i < 0 ? "" : el("dl", {}, ...numbers.flatMap(([k, v]) => [el("dt", {}, k), el("dd", {}, v)])));
    }
    // Enlarged about the window's centre, without leaving the image.
    function zoomed(window_, w, h) {
      const z = Number(state.zoom);
      if (z === 1) return {};
      const place = (start, length) => Math.min(Math.max((start + window_.size / 2) / length - 1 / (2 * z), 0), 1 - 1 / z);
      return { transform: `scale(${z}) translate(${-100 * place(window_.x, w)}%, ${-100 * place(window_.y, h)}%)`, "--zoom": z };
    }
    queueMicrotask(load);
    const rank = about.rank ? `rank ${about.rank} of ${part.images.filter((m) => m.rank).length} by maximum DI, ${about.rank_mean} by mean` : "not ranked: a network lacks it";
    return [
      el("div.title", {}, step(-1, "previous", "←"), el("h1", {}, about.name), step(1, "next", "→")),
      el("p.small", {}, rank), controls, readout, grid,
      part.lossless ? null : el("p.small", {}, "SR and HR are compressed here (WebP); judge fine texture on the stored results."),
    ];
  }
  lamscope.shortcuts = { s: ["layer", "none"], l: ["layer", "lam"], a: ["layer", "area"] };
  lamscope.views.push({ name: "compare", title: "Compare", show });
})();
