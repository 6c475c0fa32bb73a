// The texts of a page with less than a minimum of contrast, by the formula of WCAG 2.
minimum => {
  const pen = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = color => {
    pen.clearRect(0, 0, 1, 1);
    pen.fillStyle = color;
    pen.fillRect(0, 0, 1, 1);
    return [...pen.getImageData(0, 0, 1, 1).data].map(each => each / 255);
  };
  const over = (a, b) => [0, 1, 2].map(i => a[i] * a[3] + b[i] * (1 - a[3]));
  const behind = node => {
    if (!node) return [1, 1, 1];
    const color = rgba(getComputedStyle(node).backgroundColor);
    return color[3] === 1 ? color : over(color, behind(node.parentElement));
  };
  const linear = v => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  const light = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
  const contrast = (node, pseudo) => {
    const back = behind(node), [a, b] = [light(over(rgba(getComputedStyle(node, pseudo).color), back)), light(back)];
    return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  };
  const hasText = node => node.matches("input, select") || [...node.childNodes].some(each => each.nodeType === 3 && each.data.trim());
  const texts = [...document.querySelectorAll("main *")].filter(node => node.checkVisibility() && !node.closest(":disabled, svg, option") && hasText(node));
  const least = node => Math.min(contrast(node), node.placeholder ? contrast(node, "::placeholder") : Infinity);
  return texts.filter(node => least(node) < minimum).map(node => [node.id || node.className || node.textContent.slice(0, 30), least(node)]);
}
