/** @file The language server as a thread of one kernel, for machines without Unix sockets. */
import { parentPort, workerData } from "node:worker_threads";
import { createLanguage } from "./language";
import { type Port, serve } from "./link";
import type { LanguageApi } from "./messages";

serve<LanguageApi>(parentPort as Port, createLanguage((workerData as { project: string }).project));
