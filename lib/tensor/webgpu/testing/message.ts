/** @file What a read that should fail says. */

/** The message that a read fails with, or what it reads. */
export async function messageOf(read: () => unknown): Promise<string> {
  try {
    return `read ${await read()}`;
  } catch (error) {
    return (error as Error).message;
  }
}
