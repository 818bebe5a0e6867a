import * as alicloud from "@pulumi/alicloud";
import { Config } from "@pulumi/pulumi";

if (new Config("millrace").get("stack") === "unknown") {
  // A type nobody has told the stand-in about.
  new alicloud.fc.V3Alias("alias", { functionName: "newer" });
} else {
  // What Function Compute refuses, of a type that the provider has.
  new alicloud.fc.V3Function("newer", { functionName: "newer", handler: "index.handler", runtime: "nodejs24" });
}
