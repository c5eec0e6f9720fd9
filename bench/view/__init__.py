"""The live view: a local page on which one chooses an image, clicks a window, and watches networks look."""
