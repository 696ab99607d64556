/**
 * @file The Fréchet distance between the Gaussians of two sets of features (Heusel et al. 2017, eq. 6), which is a FID
 * where the features are Inception-v3's, and one of its own kind with any other extractor.
 */
import { EigenvalueDecomposition, Matrix } from "ml-matrix";
import { covariance, type Moments } from "./moments";

/**
 * The square of the distance, which is what a FID reports: ‖m_a − m_b‖² + tr A + tr B − 2 tr (B^½ A B^½)^½, by symmetric
 * eigenproblems in float64; 0 or more. Fewer rows than dimensions leave a covariance singular, which is allowed. Throws
 * where the dimensions differ or on fewer than two rows.
 */
export const frechetDistance = (a: Moments, b: Moments): number => frechetTo(b)(a);

/** The distances of several sets to one reference, whose B^½ is taken once. Throws as `frechetDistance`. */
export function frechetTo(b: Moments): (a: Moments) => number {
  const dims = b.mean.length;
  const reference = asMatrix(covariance(b), dims);
  const root = squareRoot(reference);
  return (a) => {
    if (a.mean.length !== dims)
      throw new Error(
        `frechetDistance: got ${a.mean.length} and ${dims} dimensions, expected the same extractor.`,
      );
    const own = asMatrix(covariance(a), dims);
    const cross = eigenvalues(root.mmul(own).mmul(root));
    const apart = a.mean.reduce((sum, value, i) => sum + (value - b.mean[i]) ** 2, 0);
    const shared = cross.reduce((sum, value) => sum + Math.sqrt(Math.max(0, value)), 0);
    return Math.max(0, apart + own.trace() + reference.trace() - 2 * shared);
  };
}

const asMatrix = (values: Float64Array, dims: number): Matrix => Matrix.from1DArray(dims, dims, values);

const decompose = (matrix: Matrix) => new EigenvalueDecomposition(matrix, { assumeSymmetric: true });

const eigenvalues = (matrix: Matrix): number[] => decompose(matrix).realEigenvalues;

/** The positive semidefinite root; eigenvalues that rounding took below 0 count as 0. */
function squareRoot(matrix: Matrix): Matrix {
  const { realEigenvalues, eigenvectorMatrix } = decompose(matrix);
  const roots = realEigenvalues.map((value) => Math.sqrt(Math.max(0, value)));
  return eigenvectorMatrix.clone().mulRowVector(roots).mmul(eigenvectorMatrix.transpose());
}
