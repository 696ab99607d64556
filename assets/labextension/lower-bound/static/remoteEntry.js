/**
 * @file A prebuilt JupyterLab extension, written by hand: the renderer of `application/vnd.plotly.v1+json`, KaTeX as
 * the typesetter of maths in Markdown and `text/latex`, and `display.update` for a page that was loaded anew.
 *
 * It ranks before the PNG of the same bundle and declares itself safe (a figure is data, Plotly runs none of it as
 * code), so that a figure is interactive in a notebook that is not trusted too. Set-up puts plotly.min.js and katex/ beside it.
 */
(() => {
  const MIME_TYPE = "application/vnd.plotly.v1+json";
  const RANK_BEFORE_IMAGES = 0;
  const folder = document.currentScript.src.replace(/[^/]*$/, "");

  /** JupyterLab's shared modules, by webpack's module federation. */
  let shared;
  async function importShared(name) {
    const versions = Object.values(shared[name]);
    return (await versions[0].get())();
  }

  const scripts = new Map();
  /** A script beside this one, loaded once; an AMD loader on the page must not catch it. */
  function loadScript(name) {
    if (scripts.has(name)) return scripts.get(name);
    const loaded = new Promise((resolve, reject) => {
      const script = document.createElement("script");
      const { define } = window;
      window.define = undefined;
      const restore = () => {
        window.define = define;
      };
      script.src = folder + name;
      script.onload = () => {
        restore();
        resolve();
      };
      script.onerror = () => {
        restore();
        scripts.delete(name);
        reject(new Error(`${name} could not be loaded; \`npm run doctor\` says how to repair it`));
      };
      document.head.append(script);
    });
    scripts.set(name, loaded);
    return loaded;
  }

  async function loadPlotly() {
    await loadScript("plotly.min.js");
    return window.Plotly;
  }

  const css = (name, otherwise) => getComputedStyle(document.body).getPropertyValue(name).trim() || otherwise;

  /** The colours of JupyterLab's theme: over those of the figure's template, under what the figure itself says. */
  function themeTemplate() {
    const axis = {
      gridcolor: css("--jp-border-color2", "#e0e0e0"),
      linecolor: css("--jp-border-color1", "#bdbdbd"),
      tickcolor: css("--jp-border-color1", "#bdbdbd"),
      zerolinecolor: css("--jp-border-color1", "#bdbdbd"),
    };
    return {
      layout: {
        paper_bgcolor: "rgba(0,0,0,0)",
        plot_bgcolor: "rgba(0,0,0,0)",
        font: { color: css("--jp-content-font-color1", "#212121") },
        xaxis: axis,
        yaxis: axis,
        scene: { xaxis: axis, yaxis: axis, zaxis: axis },
        modebar: {
          bgcolor: "rgba(0,0,0,0)",
          color: css("--jp-ui-font-color2", "#757575"),
          activecolor: css("--jp-ui-font-color1", "#212121"),
        },
        sliderdefaults: {
          bgcolor: css("--jp-layout-color2", "#eeeeee"),
          activebgcolor: css("--jp-layout-color3", "#bdbdbd"),
          bordercolor: css("--jp-border-color1", "#bdbdbd"),
          tickcolor: css("--jp-border-color1", "#bdbdbd"),
        },
        updatemenudefaults: {
          bgcolor: css("--jp-layout-color1", "#ffffff"),
          bordercolor: css("--jp-border-color1", "#bdbdbd"),
        },
      },
    };
  }

  /** A button under the pointer, whose colour Plotly has fixed, to a near-white. */
  const HOVERED = `.lower-bound-plotly .updatemenu-button:hover .updatemenu-item-rect {
    fill: var(--jp-layout-color3, #eeeeee) !important;
  }`;

  function addStyle(text) {
    const style = document.createElement("style");
    style.textContent = text;
    document.head.append(style);
  }

  const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);

  /** `over` on top of `under`, into nested objects. */
  function merge(under, over) {
    if (!isObject(under) || !isObject(over)) return over === undefined ? under : over;
    const merged = { ...under };
    for (const [key, value] of Object.entries(over)) merged[key] = merge(under[key], value);
    return merged;
  }

  function checkFigure(figure) {
    if (!isObject(figure)) throw new Error("the output is not an object");
    if (!Array.isArray(figure.data)) throw new Error('it has no list "data"');
    if (figure.layout !== undefined && !isObject(figure.layout))
      throw new Error('its "layout" is not an object');
    return figure;
  }

  function defineRenderer({ Widget }) {
    return class PlotlyRenderer extends Widget {
      constructor() {
        super();
        this.addClass("lower-bound-plotly");
        this.plot = document.createElement("div");
        this.node.append(this.plot);
        this.figure = undefined;
        this.drawing = Promise.resolve();
        this.resizing = false;
        this.resizes = new ResizeObserver(() => this.resize());
        this.themes = new MutationObserver(() => this.draw());
        this.themes.observe(document.body, { attributes: true, attributeFilter: ["data-jp-theme-name"] });
      }

      /** Called for a new output and for each update of it; the plot that is there changes in place. */
      async renderModel(model) {
        this.figure = model.data[MIME_TYPE];
        await this.draw();
      }

      /** One drawing at a time, each with the figure that is then the newest. */
      draw() {
        this.drawing = this.drawing.then(() => this.drawNow()).catch((error) => this.showError(error));
        return this.drawing;
      }

      async drawNow() {
        if (this.isDisposed || this.figure === undefined) return;
        const { data, layout = {}, config = {}, frames } = checkFigure(this.figure);
        const Plotly = await loadPlotly();
        if (this.isDisposed) return;
        const themed = { ...layout, template: merge(layout.template, themeTemplate()) };
        this.message?.remove();
        this.plot.hidden = false;
        const settings = { responsive: false, displaylogo: false, ...config };
        await Plotly.react(this.plot, structuredClone(data), structuredClone(themed), settings);
        if (Array.isArray(frames) && frames.length > 0) {
          await Plotly.deleteFrames(this.plot);
          await Plotly.addFrames(this.plot, structuredClone(frames));
        }
        this.resizes.observe(this.node);
        await this.resize();
      }

      showError(error) {
        if (this.isDisposed) return;
        this.plot.hidden = true;
        this.message ??= document.createElement("pre");
        this.message.textContent = `This Plotly figure cannot be drawn: ${error.message}`;
        this.node.append(this.message);
      }

      /** To the cell's width, unless the figure has its own; again, if the cell changed while Plotly was at it. */
      async resize() {
        const isWrong = () => {
          const { clientWidth } = this.node;
          if (this.isDisposed || this.figure?.layout?.width || clientWidth === 0) return false;
          return this.plot._fullLayout && Math.abs(this.plot._fullLayout.width - clientWidth) > 1;
        };
        if (this.resizing || !isWrong()) return;
        this.resizing = true;
        try {
          for (let turn = 0; turn < 5 && isWrong(); turn++) await window.Plotly.Plots.resize(this.plot);
        } catch {
          // hidden at this moment: the observer calls again when it is shown
        } finally {
          this.resizing = false;
        }
      }

      onResize() {
        this.resize();
      }

      dispose() {
        if (this.isDisposed) return;
        this.resizes.disconnect();
        this.themes.disconnect();
        window.Plotly?.purge(this.plot);
        super.dispose();
      }
    };
  }

  let katex;
  /** KaTeX with its styles and what sets the maths of a page, loaded with the first formula. */
  function loadKatex() {
    katex ??= (async () => {
      const styles = document.createElement("link");
      styles.rel = "stylesheet";
      styles.href = `${folder}katex/katex.min.css`;
      document.head.append(styles);
      await loadScript("katex/katex.min.js");
      await loadScript("katex/contrib/auto-render.min.js");
      await loadScript("typeset.js");
      return window.lowerBoundTypeset;
    })();
    return katex;
  }

  /** JupyterLab's ILatexTypesetter. */
  const typesetter = {
    typeset: async (node) => {
      if (!/[$\\]/.test(node.textContent)) return;
      const typeset = await loadKatex();
      typeset(node);
    },
  };

  /** Replaces the outputs that the kernel marked with this display id. */
  function updateOutputs(notebook, { data, metadata, transient }) {
    for (const { outputs } of notebook?.cells ?? [])
      for (let index = 0; index < (outputs?.length ?? 0); index++) {
        const output = outputs.get(index);
        if (output.metadata?.display_id === transient.display_id)
          outputs.set(index, { ...output.toJSON(), data, metadata });
      }
  }

  /** JupyterLab knows the display ids that this page saw made; those of before it was loaded anew are found here. */
  function followDisplays({ content, sessionContext }) {
    const known = new Set();
    sessionContext.iopubMessage.connect((_, { header, content: message }) => {
      const id = message.transient?.display_id;
      if (id === undefined) return;
      if (header.msg_type !== "update_display_data") known.add(id);
      else if (!known.has(id)) updateOutputs(content.model, message);
    });
  }

  const modules = {
    "./extension": async () => {
      const { ILatexTypesetter } = await importShared("@jupyterlab/rendermime");
      const { INotebookTracker } = await importShared("@jupyterlab/notebook");
      const maths = {
        id: "lower-bound:katex",
        description: "KaTeX as the typesetter of maths.",
        autoStart: true,
        provides: ILatexTypesetter,
        activate: () => typesetter,
      };
      const displays = {
        id: "lower-bound:displays",
        description: "Updates of displays that an earlier load of the page had shown.",
        autoStart: true,
        requires: [INotebookTracker],
        activate: (_app, notebooks) => {
          notebooks.widgetAdded.connect((_, panel) => followDisplays(panel));
        },
      };
      return { __esModule: true, default: [maths, displays] };
    },
    "./mimeExtension": async () => {
      const Renderer = defineRenderer(await importShared("@lumino/widgets"));
      addStyle(HOVERED);
      const extension = {
        id: "lower-bound:plotly",
        rendererFactory: {
          safe: true,
          mimeTypes: [MIME_TYPE],
          createRenderer: (options) => new Renderer(options),
        },
        rank: RANK_BEFORE_IMAGES,
        dataType: "json",
      };
      return { __esModule: true, default: extension };
    },
  };

  window._JUPYTERLAB ??= {};
  window._JUPYTERLAB["lower-bound"] = {
    init: (scope) => {
      shared = scope;
    },
    get: async (name) => {
      const module = await modules[name]();
      return () => module;
    },
  };
})();
