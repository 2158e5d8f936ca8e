import java.util.LinkedHashMap;
import java.util.Map;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import org.junit.platform.engine.TestExecutionResult;
import org.junit.platform.launcher.TestExecutionListener;
import org.junit.platform.launcher.TestIdentifier;
import org.junit.platform.launcher.TestPlan;

/** Prints what became of each test and of each container that failed, with the reason, as one JSON line. */
public final class Outcomes implements TestExecutionListener {
    private final ObjectMapper json = new ObjectMapper();
    private TestPlan plan;

    @Override
    public void testPlanExecutionStarted(TestPlan testPlan) {
        plan = testPlan;
    }

    @Override
    public void executionSkipped(TestIdentifier test, String reason) {
        print(test, "skipped", reason);
    }

    @Override
    public void executionFinished(TestIdentifier test, TestExecutionResult result) {
        var ok = result.getStatus() == TestExecutionResult.Status.SUCCESSFUL;
        if (test.isTest() || !ok) {
            print(test, ok ? "ok" : "failed", result.getThrowable().map(Object::toString).orElse(""));
        }
    }

    private void print(TestIdentifier test, String outcome, String reason) {
        Map<String, String> line = new LinkedHashMap<>();
        line.put("test", test.getDisplayName());
        line.put("container", plan.getParent(test).map(TestIdentifier::getDisplayName).orElse(""));
        line.put("outcome", outcome);
        line.put("reason", reason);
        try {
            System.out.println(json.writeValueAsString(line));
        } catch (JsonProcessingException impossible) {
            throw new IllegalStateException(impossible);
        }
    }
}
