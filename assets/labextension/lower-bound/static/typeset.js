/**
 * @file `lowerBoundTypeset(node)`: sets the maths below `node` with KaTeX and its auto-render, in JupyterLab and in pages
 * that nbconvert exports.
 */
(() => {
  /** What MathJax takes for maths in JupyterLab, so that no notebook reads differently. */
  const DELIMITERS = [
    { left: "$$", right: "$$", display: true },
    { left: "\\[", right: "\\]", display: true },
    ...["equation", "equation*", "align", "align*", "gather", "gather*", "alignat", "alignat*", "CD"].map(
      (name) => ({
        left: `\\begin{${name}}`,
        right: `\\end{${name}}`,
        display: true,
      }),
    ),
    { left: "$", right: "$", display: false },
    { left: "\\(", right: "\\)", display: false },
  ];

  /** Stands for `\\$`, a dollar sign that begins no formula, while KaTeX looks for formulas. */
  const DOLLAR = "\uE000";

  /** Replaces text in the text nodes below `node`. */
  function replaceText(node, from, to) {
    const walker = document.createTreeWalker(node, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
      const text = walker.currentNode;
      if (text.data.includes(from) && !text.parentElement.closest("code, pre"))
        text.data = text.data.replaceAll(from, to);
    }
  }

  /** A formula that KaTeX cannot read stays as its source, with the reason on hover. */
  window.lowerBoundTypeset = (node) => {
    replaceText(node, "\\$", DOLLAR);
    window.renderMathInElement(node, { delimiters: DELIMITERS, throwOnError: false, strict: "ignore" });
    replaceText(node, DOLLAR, "$");
  };
})();
