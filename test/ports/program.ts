import { local } from "../../lib/clouds/local/index.ts";
import { ConformanceTasks } from "./tasks-construct.ts";

new ConformanceTasks(local());
