/** @file Draws a recorded graph as Mermaid text, which JupyterLab and git hosts turn into a picture. */
import type { CompiledGraph } from ".";
import type { RecordedNode } from "./recorder";

/** Small constants are axes, shapes and the like: they would hide the graph's lines among themselves. */
const isDetail = (node: RecordedNode): boolean => node.op === "Const";

function shapeText({ shapes, op }: RecordedNode): string {
  return op === "Placeholder" || shapes.length === 0 ? "" : ` [${shapes[0].join(", ")}]`;
}

/** An input is round, a variable's resource a cylinder, an op a box. */
function box(node: RecordedNode, id: string): string {
  if (node.op !== "Placeholder") return `${id}["${node.op}${shapeText(node)}"]`;
  return node.label?.startsWith("variable") ? `${id}[("${node.label}")]` : `${id}(["${node.label}"])`;
}

/**
 * The graph as a Mermaid flowchart: solid arrows carry tensors, dotted ones only say what has to wait for what.
 * Constants are left out.
 */
export function mermaid(graph: CompiledGraph): string {
  const lines = ["flowchart TD"];
  graph.nodes.forEach((node, i) => {
    if (isDetail(node)) return;
    lines.push(`  ${box(node, `n${i}`)}`);
    for (const [from] of node.inputs) if (!isDetail(graph.nodes[from])) lines.push(`  n${from} --> n${i}`);
    for (const from of node.controls) lines.push(`  n${from} -.-> n${i}`);
  });
  return lines.join("\n");
}
