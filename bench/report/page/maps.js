"use strict";
// Grey maps as numbers, and numbers in colours.

(() => {
  // A grey picture → [its values in 0..1, width, height].
  lamscope.field = async (url) => {
    const picture = new Image();
    picture.src = url;
    await picture.decode();
    const [width, height] = [picture.naturalWidth, picture.naturalHeight];
    const canvas = lamscope.el("canvas", { width, height });
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(picture, 0, 0);
    const rgba = context.getImageData(0, 0, width, height).data;
    return [Float32Array.from({ length: width * height }, (_, k) => rgba[4 * k] / 255), width, height];
  };
  // Values in −1..1 in a table of 256 colours.
  lamscope.paint = (canvas, values, width, height, colours) => {
    canvas.width = width;
    canvas.height = height;
    const context = canvas.getContext("2d");
    const picture = context.createImageData(width, height);
    const table = colours.map((c) => [1, 3, 5].map((at) => parseInt(c.slice(at, at + 2), 16)));
    values.forEach((v, k) => picture.data.set([...table[Math.round(127.5 + 127.5 * v)], 255], 4 * k));
    context.putImageData(picture, 0, 0);
  };
})();
