/**
 * @file The cheapest pairing of n rows with n columns, exactly: shortest augmenting paths on reduced costs.
 *
 * Jonker and Volgenant 1987, with their two cheap starts (column reduction, and two rounds of augmenting row
 * reduction) before the paths; costs in float64, O(n³) at worst. Their transfer of reductions is left out.
 */

interface State {
  n: number;
  cost: Float64Array;
  /** Column of each row, row of each column; -1 while free. */
  columnOf: Int32Array;
  rowOf: Int32Array;
  /** The columns' prices: every assigned pair is the cheapest of its row once they are subtracted. */
  price: Float64Array;
}

/**
 * The column of each row in a pairing of least total cost. `cost` is row-major `[n, n]`, finite. Throws on
 * another length and on costs that are not finite.
 */
export function assignment(cost: Float64Array, n: number): Int32Array {
  if (cost.length !== n * n)
    throw new Error(`assignment: got ${cost.length} costs, expected n² = ${n * n} for n = ${n}.`);
  if (!cost.every(Number.isFinite)) throw new Error("assignment: got a cost that is not finite.");
  const state: State = {
    n,
    cost,
    columnOf: new Int32Array(n).fill(-1),
    rowOf: new Int32Array(n).fill(-1),
    price: new Float64Array(n),
  };
  reduceColumns(state);
  let free = freeRows(state);
  for (let round = 0; round < 2; round++) free = reduceRows(state, free);
  augmentAll(state, free);
  return state.columnOf;
}

/** Each column's price becomes its least cost; its row takes it, if that row is still free. */
function reduceColumns({ n, cost, columnOf, rowOf, price }: State): void {
  for (let column = n - 1; column >= 0; column--) {
    let best = 0;
    for (let row = 1; row < n; row++) if (cost[row * n + column] < cost[best * n + column]) best = row;
    price[column] = cost[best * n + column];
    if (columnOf[best] >= 0) continue;
    columnOf[best] = column;
    rowOf[column] = best;
  }
}

function freeRows({ columnOf }: State): number[] {
  return Array.from(columnOf.keys()).filter((row) => columnOf[row] < 0);
}

/** A free row takes its cheapest column at the price of its second cheapest; the row it drives out tries next. */
function reduceRows(state: State, free: number[]): number[] {
  const { n, cost, columnOf, rowOf, price } = state;
  const stillFree: number[] = [];
  const waiting = [...free].reverse();
  const budget = 4 * n + free.length; // prices may fall by tiny amounts for long: the paths do the rest
  for (let steps = 0; waiting.length > 0; steps++) {
    const row = waiting.pop() as number;
    let [first, second] = [-1, -1];
    let [least, next] = [Infinity, Infinity];
    for (let column = 0; column < n; column++) {
      const reduced = cost[row * n + column] - price[column];
      if (reduced >= next) continue;
      if (reduced < least) {
        [second, next] = [first, least];
        [first, least] = [column, reduced];
      } else [second, next] = [column, reduced];
    }
    const falls = next > least && second >= 0;
    if (falls) price[first] -= next - least;
    const taken = !falls && rowOf[first] >= 0 && second >= 0 ? second : first;
    const driven = rowOf[taken];
    if (driven >= 0 && !falls) {
      stillFree.push(row); // both of its best columns are taken at this price
      continue;
    }
    columnOf[row] = taken;
    rowOf[taken] = row;
    if (driven < 0) continue;
    columnOf[driven] = -1;
    if (steps < budget) waiting.push(driven);
    else stillFree.push(driven);
  }
  return stillFree;
}

/** Dijkstra's search from each free row to the nearest free column, prices updated, pairs switched along the path. */
function augmentAll(state: State, free: number[]): void {
  const { n } = state;
  const scratch = {
    distance: new Float64Array(n),
    fromRow: new Int32Array(n),
    /** Columns: settled ones first, then those at the least distance, then the others. */
    order: Int32Array.from({ length: n }, (_, column) => column),
  };
  for (const row of free) augment(state, row, scratch);
}

function augment(
  { n, cost, columnOf, rowOf, price }: State,
  start: number,
  { distance, fromRow, order }: { distance: Float64Array; fromRow: Int32Array; order: Int32Array },
): void {
  for (let column = 0; column < n; column++) {
    distance[column] = cost[start * n + column] - price[column];
    fromRow[column] = start;
  }
  let settled = 0;
  let least = 0;
  let end = -1;
  while (end < 0) {
    // The nearest unsettled column, of several a free one: on dense costs a scan beats a heap.
    let nearest = settled;
    for (let k = settled + 1; k < n; k++) {
      const gain = distance[order[nearest]] - distance[order[k]];
      if (gain > 0 || (gain === 0 && rowOf[order[k]] < 0)) nearest = k;
    }
    const column = order[nearest];
    order[nearest] = order[settled];
    order[settled] = column;
    least = distance[column];
    if (rowOf[column] < 0) {
      end = column;
      break;
    }
    settled++;
    const row = rowOf[column];
    const base = least - (cost[row * n + column] - price[column]);
    for (let k = settled; k < n; k++) {
      const other = order[k];
      const through = base + cost[row * n + other] - price[other];
      if (through < distance[other]) {
        distance[other] = through;
        fromRow[other] = row;
      }
    }
  }
  for (let k = 0; k < settled; k++) price[order[k]] += distance[order[k]] - least;
  for (let column = end; ; ) {
    const row = fromRow[column];
    rowOf[column] = row;
    const previous = columnOf[row];
    columnOf[row] = column;
    if (row === start) return;
    column = previous;
  }
}
