export { AsyncTask, type AsyncTaskArgs } from "./constructs/async-task.ts";
export * from "./parts/index.ts";
export { formatProblem, type Problem, ProblemsError } from "./shared/problem.ts";
