"use strict";
// What all views share: making elements, numbers as text, loading scripts, the address. Names from the data only ever
// become text nodes and attributes, never markup.

const lamscope = { views: [], data: null };

(() => {
  const SVG = "http://www.w3.org/2000/svg";

  // el("a.button", { href: "#", onclick: f }, "text", child, …)
  lamscope.el = (spec, attributes = {}, ...children) => {
    const [tag, ...classes] = spec.split(".");
    const node = document.createElement(tag);
    if (classes.length) node.className = classes.join(" ");
    for (const [key, value] of Object.entries(attributes)) {
      if (value === null || value === undefined || value === false) continue;
      if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
      else if (key === "style") for (const [name, text] of Object.entries(value)) name.startsWith("--") ? node.style.setProperty(name, text) : (node.style[name] = text);
      else if (key in node && key !== "list" && typeof value !== "string") node[key] = value;
      else node.setAttribute(key, value === true ? "" : value);
    }
    node.append(...children.flat().filter((c) => c !== null && c !== undefined));
    return node;
  };

  // The markers of the figures, by matplotlib's letters, as paths in a box from −6 to 6; and plotly's names for them.
  const SHAPES = {
    o: "M5 0A5 5 0 1 1-5 0A5 5 0 1 1 5 0Z", s: "M-4.5-4.5H4.5V4.5H-4.5Z", "^": "M0-5L5 4.5H-5Z", v: "M0 5L5-4.5H-5Z",
    "<": "M-5 0L4.5-5V5Z", ">": "M5 0L-4.5-5V5Z", D: "M0-5.5L5.5 0L0 5.5L-5.5 0Z", d: "M0-6L3.6 0L0 6L-3.6 0Z",
    P: "M-1.7-5H1.7V-1.7H5V1.7H1.7V5H-1.7V1.7H-5V-1.7H-1.7Z",
    X: "M-5-2.6L-2.6-5L0-2.4L2.6-5L5-2.6L2.4 0L5 2.6L2.6 5L0 2.4L-2.6 5L-5 2.6L-2.4 0Z",
    p: "M0-5.3L5-1.6L3.1 4.3H-3.1L-5-1.6Z", "*": "M0-6L1.5-2L5.7-1.9L2.4.8L3.5 4.9L0 2.5L-3.5 4.9L-2.4.8L-5.7-1.9L-1.5-2Z",
  };
  lamscope.plotlyMarkers = {
    o: "circle", s: "square", "^": "triangle-up", v: "triangle-down", "<": "triangle-left", ">": "triangle-right",
    D: "diamond", d: "diamond-tall", P: "cross", X: "x", p: "pentagon", "*": "star",
  };
  lamscope.swatch = (network) => {
    const svg = document.createElementNS(SVG, "svg");
    svg.setAttribute("viewBox", "-7 -7 14 14");
    svg.setAttribute("class", "swatch");
    svg.setAttribute("aria-hidden", "true");
    const path = document.createElementNS(SVG, "path");
    path.setAttribute("d", SHAPES[network.marker] || SHAPES.o);
    path.setAttribute("fill", network.colour);
    svg.append(path);
    return svg;
  };

  lamscope.number = (value, digits = 2) =>
    value === null || value === undefined ? "–" : value.toFixed(digits).replace("-", "−");
  lamscope.p = (value) => (value === null ? "–" : value < 0.001 ? "< 0.001" : lamscope.number(value, 3));
  lamscope.count = (n) => {
    for (const [unit, size] of [["G", 1e9], ["M", 1e6], ["K", 1e3]])
      if (n >= size * 0.9995) return `${Number((n / size).toPrecision(3))} ${unit}`;
    return n < 0 ? "–" : String(n);
  };
  lamscope.METRICS = {
    di: ["DI (%)", 2], psnr_y: ["PSNR-Y (dB)", 2], psnr_rgb: ["PSNR-RGB (dB)", 2], ssim_y: ["SSIM-Y", 4],
  };

  // A script loads once; the promise is kept. Works from the file system, where fetch does not.
  const scripts = new Map();
  lamscope.script = (source) => {
    if (!scripts.has(source)) {
      scripts.set(source, new Promise((resolve, reject) => {
        const node = lamscope.el("script", { src: source, onload: resolve });
        node.addEventListener("error", () => {
          scripts.delete(source);
          reject(new Error(`${source} is missing`));
        });
        document.head.append(node);
      }));
    }
    return scripts.get(source);
  };
  const images = new Map();
  lamscope.loaded = (key, content) => images.set(key, content);
  lamscope.stem = (part, index) => `assets/${part.slug}/${String(index).padStart(5, "0")}`;
  lamscope.image = async (part, index) => {
    await lamscope.script(`${lamscope.stem(part, index)}.js`);
    return images.get(`${part.slug}/${index}`);
  };

  // The address: #/view/part?key=value, so that every state can be linked, and the browser's back button works.
  lamscope.address = () => {
    const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
    const [view = "", part = "0"] = path.split("/");
    return { view: view || lamscope.views[0].name, part: Number(part) || 0, query: new URLSearchParams(query) };
  };
  lamscope.link = (view, query = {}, part = lamscope.address().part) => {
    const text = new URLSearchParams(Object.entries(query).filter(([, v]) => v !== null && v !== undefined)).toString();
    return `#/${view}/${part}${text ? `?${text}` : ""}`;
  };
  // Remember a setting in the address without a new step in the history.
  lamscope.remember = (changes) => {
    const { view, part, query } = lamscope.address();
    for (const [key, value] of Object.entries(changes)) value === null ? query.delete(key) : query.set(key, value);
    history.replaceState(null, "", lamscope.link(view, Object.fromEntries(query), part));
  };

  lamscope.choice = (label, options, value, onchange) =>
    lamscope.el("label", {}, `${label} `, lamscope.el("select", { onchange: (e) => onchange(e.target.value) },
      ...options.map(([v, text]) => lamscope.el("option", { value: v, selected: v === value }, text))));
  lamscope.notes = (part) => part.notes.length
    ? lamscope.el("ul.notes", { "aria-label": "What is missing" }, ...part.notes.map((note) => lamscope.el("li", {}, note)))
    : null;
  lamscope.dark = () => {
    const chosen = document.documentElement.dataset.theme;
    return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  };
})();
