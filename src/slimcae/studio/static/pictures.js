// Which files of a folder are opened: those whose name says that the studio reads them.

const SUFFIX = /\.(scae|png|jpe?g|jfif|webp|avif|tiff?|gif|bmp|jp2|j2k|p[bgnp]m)$/i;

export function isPictureName(path) {
  const name = path.split("/").pop();
  return !name.startsWith(".") && SUFFIX.test(name); // "._photo.jpg" is macOS's, and no picture
}
