// The colour of each class, as the server's overlay has it.

let colours = [["#ffffff", "#000000"]];

export async function loadPalette() {
  colours = (await (await fetch("static/palette.json")).json()).colours;
}

/** [box, text on it] of a class, as CSS colours. */
export const coloursOf = (classId) => colours[((classId % colours.length) + colours.length) % colours.length];
