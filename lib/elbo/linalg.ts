/** @file The little linear algebra that Gaussians with a full covariance need: Cholesky and the symmetric eigenproblem, in float64. */

/** A matrix as rows. */
export type Matrix = readonly (readonly number[])[];

/** Throws unless `a` is square and symmetric, of size `size` where that is given. */
export function checkSymmetric(caller: string, name: string, a: Matrix, size = a.length): void {
  if (a.length !== size || a.some((row) => row.length !== size)) {
    const lengths = [...new Set(a.map((row) => row.length))];
    throw new Error(
      `${caller}: ${name} is ${a.length} × ${lengths.join(" or ")}, expected ${size} × ${size}.`,
    );
  }
  for (let i = 0; i < size; i++)
    for (let j = 0; j <= i; j++)
      if (!(Math.abs(a[i][j] - a[j][i]) <= 1e-12 * (Math.abs(a[i][i]) + Math.abs(a[j][j]) + 1e-300)))
        throw new Error(
          `${caller}: ${name} is ${Number.isNaN(a[i][j] + a[j][i]) ? "not a number" : "not symmetric"} (entries [${i}][${j}] = ${a[i][j]}, [${j}][${i}] = ${a[j][i]}).`,
        );
}

/** The lower triangle L with L Lᵀ = a. Throws, naming `caller` and its `name` for the matrix, unless `a` is positive definite. */
export function cholesky(caller: string, name: string, a: Matrix): number[][] {
  const n = a.length;
  const lower = a.map(() => new Array<number>(n).fill(0));
  for (let i = 0; i < n; i++)
    for (let j = 0; j <= i; j++) {
      let rest = a[i][j];
      for (let k = 0; k < j; k++) rest -= lower[i][k] * lower[j][k];
      if (i === j && !(rest > 0))
        throw new Error(
          `${caller}: ${name} is not positive definite: pivot ${i} is ${rest}, expected more than 0. Add a small multiple of the identity.`,
        );
      lower[i][j] = i === j ? Math.sqrt(rest) : rest / lower[j][j];
    }
  return lower;
}

/** x with L x = b, for a lower triangle L. */
export function forwardSolve(lower: Matrix, b: ArrayLike<number>): number[] {
  const x: number[] = [];
  for (let i = 0; i < lower.length; i++) {
    let rest = b[i];
    for (let k = 0; k < i; k++) rest -= lower[i][k] * x[k];
    x.push(rest / lower[i][i]);
  }
  return x;
}

/** ½(a + aᵀ): rounding leaves a product of symmetric matrices a few bits off symmetry. */
export function symmetrized(a: Matrix): number[][] {
  return a.map((row, i) => row.map((x, j) => (x + a[j][i]) / 2));
}

/** Eigenvalues and orthonormal eigenvectors: a = Σ values[i] · vectors[i] vectors[i]ᵀ. */
export interface Eigen {
  values: number[];
  /** One eigenvector per row. */
  vectors: number[][];
}

/**
 * The eigenproblem of a symmetric matrix by Jacobi's rotations, to rounding. Throws, naming `caller` and its `name` for the
 * matrix, if `a` is not symmetric.
 */
export function symmetricEigen(a: Matrix, caller = "symmetricEigen", name = "the matrix"): Eigen {
  checkSymmetric(caller, name, a);
  const n = a.length;
  const m = a.map((row) => [...row]);
  const vectors = a.map((_, i) => a.map((_, j) => (i === j ? 1 : 0)));
  for (let sweep = 0; sweep < 60 && offDiagonal(m) > 0; sweep++)
    for (let p = 0; p < n; p++) for (let q = p + 1; q < n; q++) rotate(m, vectors, p, q);
  return { values: m.map((row, i) => row[i]), vectors };
}

function offDiagonal(m: number[][]): number {
  let sum = 0;
  for (let i = 0; i < m.length; i++) for (let j = 0; j < i; j++) sum += m[i][j] ** 2;
  return sum;
}

/** Makes m[p][q] zero by a rotation of rows and columns p and q; `vectors` collects the rotations as rows. */
function rotate(m: number[][], vectors: number[][], p: number, q: number): void {
  if (m[p][q] === 0) return;
  const theta = (m[q][q] - m[p][p]) / (2 * m[p][q]);
  const tan = (theta >= 0 ? 1 : -1) / (Math.abs(theta) + Math.hypot(theta, 1));
  const cos = 1 / Math.hypot(tan, 1);
  const sin = tan * cos;
  for (const row of m) [row[p], row[q]] = [cos * row[p] - sin * row[q], sin * row[p] + cos * row[q]];
  for (const rows of [m, vectors])
    [rows[p], rows[q]] = [
      rows[p].map((x, k) => cos * x - sin * rows[q][k]),
      rows[p].map((x, k) => sin * x + cos * rows[q][k]),
    ];
  m[p][q] = 0;
  m[q][p] = 0;
}
